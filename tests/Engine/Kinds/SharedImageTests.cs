using System.Globalization;
using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Kinds;

/// <summary>One copy in memory, filled once by the manager, mapped by many.</summary>
public sealed class SharedImageTests : EngineTest
{
    private const UffdRegisterModes Both = UffdRegisterModes.Missing | UffdRegisterModes.Minor;
    private const int ReadWrite = 3;

    [Fact]
    public void Clients_share_one_copy_that_was_read_once()
    {
        ScriptedSource source = Scripted(2 * MiB);
        SharedImage image = Image(source, 2 * MiB, writable: false);
        ServedClient one = Serve(Alice);
        ServedClient two = Serve(Bob);
        (ulong atOne, _) = Map(one, image, 2 * MiB);
        (ulong atTwo, _) = Map(two, image, 2 * MiB);
        one.AssertHolds(atOne, 2 * MiB, source);
        two.AssertHolds(atTwo, 2 * MiB, source);
        Assert.Equal(512, source.Entered);
        foreach ((ServedClient client, ulong at) in new[] { (one, atOne), (two, atTwo) })
        {
            Assert.Equal(2048, Smaps(client, at, "Rss"));
            Assert.InRange(Smaps(client, at, "Pss"), 1, 1100);
            Assert.Equal(0, Smaps(client, at, "Private_Dirty"));
        }
    }

    [Fact]
    public void Private_writes_stay_private()
    {
        ScriptedSource source = Scripted(8 * Page);
        SharedImage image = Image(source, 8 * Page, writable: false);
        ServedClient one = Serve(Alice);
        ServedClient two = Serve(Bob);
        (ulong atOne, _) = Map(one, image, 8 * Page);
        (ulong atTwo, _) = Map(two, image, 8 * Page);
        one.AssertHolds(atOne, Page, source);
        one.Client.Run($"fill {atOne} {2 * Page} 255");
        two.AssertHolds(atTwo, 8 * Page, source);
        Assert.True(one.Client.IsFilledWith(atOne, 2 * Page, 255));
        one.AssertHolds(atOne + (2 * Page), 6 * Page, source, 2 * (long)Page);
    }

    [Fact]
    public void Read_only_image_cannot_be_written_however_it_is_opened()
    {
        SharedImage image = Image(Scripted(8 * Page), 8 * Page, writable: false);
        ServedClient it = Serve();
        (_, int number) = Map(it, image, 8 * Page);
        ClientReply reopened = it.Client.Try($"open /proc/self/fd/{number} 2");
        foreach (ulong fd in reopened.Succeeded ? [(ulong)number, reopened.Value] : new[] { (ulong)number })
        {
            Assert.False(it.Client.Try($"pwrite {fd} 0 4096 66").Succeeded);
            Assert.False(it.Client.Try($"punch {fd} 0 4096").Succeeded);
            Assert.False(it.Client.Try($"mapfd {fd} 0 {8 * Page} 1 {ReadWrite}").Succeeded);
        }

        // Protection that is raised after a read-only mapping was made gets nowhere either.
        ulong readOnly = it.Client.Run($"mapfd {number} 0 {8 * Page} 1 1");
        Assert.Equal(Errno.EACCES, it.Client.Try($"mprotect {readOnly} {8 * Page} {ReadWrite}").Errno);
        Assert.Throws<InvalidOperationException>(() => image.HandOut(writable: true));
    }

    [Fact]
    public void Writable_image_shares_what_is_written()
    {
        ScriptedSource source = Scripted(8 * Page);
        SharedImage image = Image(source, 8 * Page, writable: true);
        ServedClient one = Serve(Alice);
        ServedClient two = Serve(Bob);
        (ulong atOne, _) = Map(one, image, 8 * Page, shared: true);
        (ulong atTwo, _) = Map(two, image, 8 * Page, shared: true);
        one.Client.Run($"fill {atOne} {Page} 255");
        Assert.True(two.Client.IsFilledWith(atTwo, Page, 255));
        two.Client.Run($"write {atTwo + Page} 254");
        Assert.Equal(254, one.Client.ReadByte(atOne + Page));
        Assert.Equal((ulong)source.ByteOf((long)Page), one.Client.Run($"read {atOne + Page + 1}"));
        two.AssertHolds(atTwo + (2 * Page), 6 * Page, source, 2 * (long)Page);
    }

    [Fact]
    public void Page_is_filled_once_although_two_clients_write_it_at_once()
    {
        // one                    engine                 two
        // write byte 0 ........> claims, fetch hangs
        //                        finds it claimed <.... write byte 1
        //                        released
        // byte 0 written         mapped for both        byte 1 written
        ScriptedSource source = Scripted(Page);
        source.Hold();
        SharedImage image = Image(source, Page, writable: true);
        ServedClient one = Serve(Alice);
        ServedClient two = Serve(Bob);
        (ulong atOne, _) = Map(one, image, Page, shared: true);
        (ulong atTwo, _) = Map(two, image, Page, shared: true);
        PendingReply first = one.Client.Begin($"write {atOne} 254", 1);
        source.WaitForFetches(1);
        PendingReply second = two.Client.Begin($"write {atTwo + 1} 253", 1);
        Eventually.True(() => CountersOf(Bob).Deferrals(DeferralReason.SharedFill) > 0, "the second to wait for the first");
        source.Release();
        first.AwaitValue();
        second.AwaitValue();
        Assert.Equal((254, 253), (one.Client.ReadByte(atOne), two.Client.ReadByte(atTwo + 1)));
        Assert.Equal((253, 254), (one.Client.ReadByte(atOne + 1), two.Client.ReadByte(atTwo)));
        Assert.Equal((ulong)source.ByteOf(0), one.Client.Run($"read {atOne + 2}"));
        Assert.Equal(1, source.Entered);
    }

    [Fact]
    public void Fill_of_a_client_that_died_serves_those_who_live_and_never_runs_over_them()
    {
        ScriptedSource source = Scripted(Page);
        source.Hold();
        SharedImage image = Image(source, Page, writable: true);
        ServedClient one = Serve(Alice);
        ServedClient two = Serve(Bob);
        (ulong atOne, _) = Map(one, image, Page, shared: true);
        (ulong atTwo, _) = Map(two, image, Page, shared: true);
        _ = one.Client.Begin($"read {atOne}", 1);
        source.WaitForFetches(1);
        one.Client.Kill();
        WaitForEvent<SessionEnded>(e => e.Session == one.Session);
        PendingReply write = two.Client.Begin($"write {atTwo} 252", 1);
        Eventually.True(() => CountersOf(Bob).Deferrals(DeferralReason.SharedFill) > 0, "the second to wait for the first's fetch");
        source.Release();
        write.AwaitValue();
        Eventually.True(() => Alice.Usage.Fetches == 0, "the dead client's fetch to come back");
        Assert.Equal(252, two.Client.ReadByte(atTwo));
        Assert.Equal((ulong)source.ByteOf(0), two.Client.Run($"read {atTwo + 1}"));
    }

    [Fact]
    public void Hole_punched_by_a_client_reads_as_zeros_for_everybody()
    {
        ScriptedSource source = Scripted(8 * Page);
        SharedImage image = Image(source, 8 * Page, writable: true);
        ServedClient one = Serve(Alice);
        ServedClient two = Serve(Bob);
        (ulong atOne, int number) = Map(one, image, 8 * Page, shared: true);
        (ulong atTwo, _) = Map(two, image, 8 * Page, shared: true);
        one.AssertHolds(atOne, 8 * Page, source);
        two.AssertHolds(atTwo, 8 * Page, source);
        one.Client.Run($"madvise {atOne} {2 * Page} 9");
        one.Client.Run($"punch {number} {4 * Page} {Page}");
        foreach ((ServedClient client, ulong at) in new[] { (two, atTwo), (one, atOne) })
        {
            client.AssertZero(at, 2 * Page);
            client.AssertZero(at + (4 * Page), Page);
            client.AssertHolds(at + (2 * Page), 2 * Page, source, 2 * (long)Page);
            client.AssertHolds(at + (5 * Page), 3 * Page, source, 5 * (long)Page);
        }
    }

    [Fact]
    public void Image_is_prefetched_for_one_and_mapped_for_the_other()
    {
        ScriptedSource source = Scripted(64 * Page);
        SharedImage image = Image(source, 64 * Page, writable: false);
        ServedClient one = Serve(Alice);
        ServedClient two = Serve(Bob);
        (ulong atOne, _) = Map(one, image, 64 * Page);
        (ulong atTwo, _) = Map(two, image, 64 * Page);
        Assert.Null(Engine.PrefetchAsync(one.Session, atOne, 64 * Page).Finish().Error);
        Assert.Null(Engine.PrefetchAsync(two.Session, atTwo, 64 * Page).Finish().Error);
        one.AssertHolds(atOne, 64 * Page, source);
        two.AssertHolds(atTwo, 64 * Page, source);
        Assert.Equal((64, 0L, 0L), (source.Entered, one.Status().Faults, two.Status().Faults));
    }

    [Fact]
    public void Page_that_could_not_be_had_for_one_can_be_had_for_the_next()
    {
        ScriptedSource source = Scripted(Page);
        source.FailAlways();
        SharedImage image = Image(source, Page, writable: false);
        ServedClient one = Serve(Alice, Named with { OnUnavailable = Verdict.Poison, Deadline = TimeSpan.FromMilliseconds(50) });
        ServedClient two = Serve(Bob);
        (ulong atOne, _) = Map(one, image, Page);
        (ulong atTwo, _) = Map(two, image, Page);
        Assert.Equal(ClientReply.Sigbus, one.Client.Try($"read {atOne}").Signal);
        source.FailNext(0);
        two.AssertHolds(atTwo, Page, source);
    }

    [Fact]
    public void Forked_child_shares_the_image_too()
    {
        ScriptedSource source = Scripted(8 * Page);
        SharedImage image = Image(source, 8 * Page, writable: false);
        ServedClient it = Serve();
        (ulong at, _) = Map(it, image, 8 * Page);
        it.AssertHolds(at, 4 * Page, source);
        it.Client.Run($"fill {at} {Page} 255");
        it.Client.Run("fork");
        ClientProcess child = Track(it.Client.AcceptChild());
        Assert.True(child.IsFilledWith(at, Page, 255));
        for (ulong page = 1; page < 8; page++)
            Assert.Equal((ulong)source.ByteOf((long)(page * Page)), child.Run($"read {at + (page * Page)}"));
        Assert.Equal(8, source.Entered);
    }

    [Fact]
    public void Range_longer_than_the_image_is_refused()
    {
        SharedImage image = Image(Scripted(8 * Page), 8 * Page, writable: false);
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map("anon", 16 * Page);
        Assert.Equal(Errno.EINVAL, it.TryRegister(at, 16 * Page, image: image).Error!.Errno);
        Assert.Equal(Errno.EINVAL, it.TryRegister(at, 8 * Page, image: image, offset: (long)Page).Error!.Errno);
    }

    [Fact]
    public void Page_that_is_in_the_cache_already_is_mapped_and_not_filled()
    {
        ScriptedSource source = Scripted(8 * Page);
        ServedClient it = Serve();
        (ulong at, int memfd) = it.Client.Map("memfd-shared", 8 * Page);
        it.Client.Run($"pwrite {memfd} {2 * Page} {2 * Page} 250");
        it.Register(at, 8 * Page, source, modes: Both);
        it.AssertHolds(at, 2 * Page, source);
        Assert.True(it.Client.IsFilledWith(at + (2 * Page), 2 * Page, 250));
        it.AssertHolds(at + (4 * Page), 4 * Page, source, 4 * (long)Page);
        Assert.Equal(2, CountersOf(Alice).Faults(Telemetry.FaultKind.Minor, Telemetry.FaultOutcome.Continued));
    }

    private SharedImage Image(ScriptedSource source, ulong length, bool writable) =>
        Own(SharedImage.Create(source, 0, (long)length, writable, "test"));

    private static (ulong Address, int Memfd) Map(ServedClient it, SharedImage image, ulong length, bool shared = false)
    {
        using SafeFd handed = image.HandOut(shared);
        int number = it.Client.Give(handed);
        ulong at = it.Client.Run($"mapfd {number} 0 {length} {(shared ? 1 : 0)} {ReadWrite}");
        Assert.Null(it.TryRegister(at, length, modes: Both, image: image).Error);
        return (at, number);
    }

    // Kilobytes.
    private static int Smaps(ServedClient it, ulong address, string field)
    {
        IEnumerable<string> mapping = File.ReadLines($"/proc/{it.Client.Pid}/smaps")
            .SkipWhile(line => !line.StartsWith(address.ToString("x", CultureInfo.InvariantCulture) + "-", StringComparison.Ordinal));
        string found = mapping.First(line => line.StartsWith(field + ":", StringComparison.Ordinal));
        return int.Parse(found.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }
}
