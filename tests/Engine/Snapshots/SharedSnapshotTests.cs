using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>Snapshots of memory that pages can come into without a fault.</summary>
public sealed class SharedSnapshotTests : HaltedSnapshotTest
{
    private const ulong Shown = 512;

    [Theory]
    [InlineData("memfd-shared", 4096)]
    [InlineData("memfd-private", 4096)]
    [InlineData("anon-shared", 4096)]
    [InlineData("hugetlb-memfd-shared", 2 << 20)]
    public void What_a_client_has_not_touched_is_not_brought_into_it(string kind, int pageBytes)
    {
        using HugePages? pool = pageBytes == PageSize.Base ? null : HugePages.AtLeast(8);
        ulong page = (ulong)pageBytes;
        ulong length = 8 * page;
        ServedClient it = Serve();
        (ulong at, int memfd) = it.Client.Map(kind, length);
        it.Register(at, length, RandomFile((long)length, 5, out byte[] wanted));
        it.Client.Run($"fill {at + page} {page} 9");
        Array.Fill(wanted, (byte)9, (int)page, (int)page);
        if (kind.EndsWith("memfd-shared", StringComparison.Ordinal))
        {
            // It is there, and neither in the page table nor in the client's own at this address.
            ulong second = it.Client.Run($"mapfd {memfd} {3 * page} {page} 1 3");
            it.Client.Run($"fill {second} {page} 8");
            Array.Fill(wanted, (byte)8, 3 * (int)page, (int)page);
        }

        (long faults, long resident) = (it.Status().Faults, it.Status().ResidentBytes);
        Assert.Equal(wanted, Take(it));
        Assert.Equal((faults, resident), (it.Status().Faults, it.Status().ResidentBytes));
        it.Client.Run($"fill {at} {length} 1");
        Assert.True(it.Client.IsFilledWith(at, length, 1));
    }

    [Fact]
    public void What_others_wrote_to_an_object_is_in_the_snapshot_of_who_has_a_copy_of_its_own()
    {
        using SharedImage image = SharedImage.Create(RandomFile((long)(Shown * Page), 5, out byte[] wanted), 0, (long)(Shown * Page), writable: true, "object");
        (ServedClient writer, ulong shared) = Map(image, isShared: true);
        (ServedClient it, ulong at) = Map(image, isShared: false);
        writer.Client.Run($"fill {shared + (5 * Page)} {Page} 9");
        it.Client.Run($"fill {at + (7 * Page)} {Page} 8");
        Array.Fill(wanted, (byte)9, 5 * (int)Page, (int)Page);
        Array.Fill(wanted, (byte)8, 7 * (int)Page, (int)Page);
        Assert.Equal(wanted, Take(it));
    }

    [Theory]
    [InlineData(Verdict.Kill)]
    [InlineData(Verdict.Poison)]
    public void Source_that_fails_for_a_page_that_nobody_touched_ends_the_snapshot_and_harms_nobody(Verdict verdict)
    {
        ScriptedSource source = Scripted(Shown * Page);
        ServedClient it = Serve(policy: Named with { OnUnavailable = verdict, Deadline = TimeSpan.FromSeconds(5), RetryBackoff = TimeSpan.FromMilliseconds(1) });
        (ulong at, _) = it.Client.Map("memfd-shared", Shown * Page);
        it.Register(at, Shown * Page, source);
        it.AssertHolds(at, 8 * Page, source);
        source.FailAlways();
        AssertFailed(Begin(it).Report(), Errno.EIO, "cannot be read at offset 32768");
        source.FailNext(0);
        it.AssertHolds(at, Shown * Page, source);
        Assert.Equal(0, CountersOf(Alice).PoisonedPages);
    }

    [Theory]
    [InlineData("anon")]
    [InlineData("memfd-shared")]
    public void Source_that_throws_ends_the_snapshot_alone(string kind)
    {
        ScriptedSource source = Scripted(Shown * Page);
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map(kind, Shown * Page);
        it.Register(at, Shown * Page, source);
        source.Thrown = new IOException("as no source should");
        AssertFailed(Begin(it).Report(), Errno.EIO, "cannot be read at offset 0");
        source.Thrown = null;
        Assert.Equal(Shown * Page, (ulong)Take(it).Length);
        it.AssertHolds(at, Page, source);
    }

    [Fact]
    public void Source_that_hangs_keeps_no_writer_waiting()
    {
        ScriptedSource source = Scripted(Shown * Page);
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map("memfd-shared", Shown * Page);
        it.Register(at, Shown * Page, source);
        it.AssertHolds(at, Page, source);
        it.AssertHolds(at + (400 * Page), Page, source, 400 * (long)Page);
        source.Hold();
        RunningSnapshot snapshot = Begin(it);
        source.WaitForFetches(3);
        it.Client.Run($"fill {at + (400 * Page)} {Page} 7");
        source.Release();
        byte[] image = snapshot.Finish();
        Assert.Equal(source.ByteOf(400 * (long)Page), image[400 * (int)Page]);
        Assert.Equal(source.ByteOf(100 * (long)Page), image[100 * (int)Page]);
        Assert.Equal(7, it.Client.ReadByte(at + (400 * Page)));
    }

    private (ServedClient It, ulong At) Map(SharedImage image, bool isShared)
    {
        ServedClient it = Serve();
        using SafeFd handed = image.HandOut(writable: true);
        ulong at = it.Client.Run($"mapfd {it.Client.Give(handed)} 0 {Shown * Page} {(isShared ? 1 : 0)} 3");
        Assert.Null(it.TryRegister(at, Shown * Page, image: image, modes: UffdRegisterModes.Missing | UffdRegisterModes.Minor).Error);
        return (it, at);
    }
}
