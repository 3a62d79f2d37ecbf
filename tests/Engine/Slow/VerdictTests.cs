using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Slow;

/// <summary>What a fault gets when its page cannot be had in time. Never zeros.</summary>
public sealed class VerdictTests : EngineTest
{
    private static readonly Policy s_poison = Named with { OnUnavailable = Verdict.Poison, Deadline = TimeSpan.FromMilliseconds(100) };
    private static readonly Policy s_kill = s_poison with { OnUnavailable = Verdict.Kill };

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Poison_gives_every_waiter_a_bus_error(bool silent)
    {
        ScriptedSource source = Failing(silent);
        ServedClient it = Serve(policy: s_poison);
        ulong at = it.MapRegistered(4 * Page, source);
        PendingReply[] reads = [.. Enumerable.Range(0, 4).Select(t => it.Client.Begin($"read {at}", t))];
        Assert.All(reads, read => Assert.Equal(ClientReply.Sigbus, read.Await().Signal));
        PagePoisoned told = WaitForEvent<PagePoisoned>();
        Assert.Equal((at, it.Session), (told.Address, told.Session));
        Assert.Contains(source.Description, told.Reason, StringComparison.Ordinal);
        Assert.Equal(1, it.Status().PoisonedPages);

        // The page stays poisoned, its neighbours are as good as the source.
        Assert.Equal(ClientReply.Sigbus, it.Client.Try($"read {at}").Signal);
        Recover(source);
        it.AssertHolds(at + Page, 3 * Page, source, (long)Page);
        Assert.Equal(ClientReply.Sigbus, it.Client.Try($"read {at}").Signal);
    }

    [Fact]
    public void Kernel_that_reads_a_poisoned_page_says_EFAULT()
    {
        ScriptedSource source = Failing(silent: false);
        ServedClient it = Serve(policy: s_poison);
        ulong at = it.MapRegistered(Page, source);
        Assert.Equal(Errno.EFAULT, it.Client.Try($"kread {at} 4096").Errno);
    }

    [Fact]
    public void Poison_is_gone_when_the_page_was_given_back()
    {
        ScriptedSource source = Failing(silent: false);
        ServedClient it = Serve(policy: s_poison);
        ulong at = it.MapRegistered(Page, source);
        Assert.Equal(ClientReply.Sigbus, it.Client.Try($"read {at}").Signal);
        it.Client.Run($"madvise {at} {Page} 4");
        it.AssertZero(at, Page);
        it.Client.WriteByte(at, 9);
        Assert.Equal(9, it.Client.ReadByte(at));
    }

    [Fact]
    public void Page_that_was_given_back_and_is_poisoned_then_is_on_the_list_of_changed_pages()
    {
        ScriptedSource source = Scripted(4 * Page);
        ServedClient it = Serve(policy: s_poison);
        ulong at = it.MapRegistered(4 * Page, source, flags: RegionFlags.RemoveMeansSource);

        // A fetch may take longer than the deadline where the machine is busy.
        source.InMemory = true;
        it.Client.Run($"touch {at} {4 * Page}");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        source.InMemory = false;
        source.FailAlways();
        it.Client.Run($"madvise {at + (2 * Page)} {Page} 4");
        Assert.Equal(ClientReply.Sigbus, it.Client.Try($"read {at + (2 * Page)}").Signal);
        Assert.Equal([new DirtyRun(at + (2 * Page), Page, Page)], FaultEngine.DirtyPagesAsync(it.Session, 0, 10, reset: false).Finish().Runs);
    }

    [Fact]
    public void Poison_is_inherited_by_a_forked_child()
    {
        ScriptedSource source = Failing(silent: false);
        ServedClient it = Serve(policy: s_poison);
        ulong at = it.MapRegistered(Page, source);
        Assert.Equal(ClientReply.Sigbus, it.Client.Try($"read {at}").Signal);
        source.FailNext(0);
        it.Client.Run("fork");
        ClientProcess child = Track(it.Client.AcceptChild());
        Assert.Equal(ClientReply.Sigbus, child.Try($"read {at}").Signal);
    }

    [Fact]
    public void Answer_after_the_verdict_is_thrown_away()
    {
        ScriptedSource source = Failing(silent: true);
        ServedClient it = Serve(policy: s_poison);
        ulong at = it.MapRegistered(Page, source);
        Assert.Equal(ClientReply.Sigbus, it.Client.Try($"read {at}").Signal);
        source.Release();
        Eventually.True(() => CountersOf(Alice).Fetches(FetchOutcome.Discarded) == 1, "the late answer");
        Assert.Equal(ClientReply.Sigbus, it.Client.Try($"read {at}").Signal);
        Assert.Equal(0, it.Status().PagesInFlight);
        Assert.Equal(0, it.Status().CopiedBytes);
    }

    [Fact]
    public void Neighbours_that_nobody_waits_for_are_not_poisoned_with_the_page()
    {
        ScriptedSource source = Failing(silent: false);
        ServedClient it = Serve(policy: s_poison with { FaultAroundBytes = 8 * 4096 });
        ulong at = it.MapRegistered(8 * Page, source);
        Assert.Equal(ClientReply.Sigbus, it.Client.Try($"read {at + (3 * Page)}").Signal);
        Recover(source);
        it.AssertHolds(at, 3 * Page, source);
        it.AssertHolds(at + (4 * Page), 4 * Page, source, 4 * (long)Page);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Kill_ends_the_client_alone(bool silent)
    {
        ScriptedSource source = Failing(silent);
        ServedClient bystander = Serve(Bob, Zero);
        ServedClient it = Serve(policy: s_kill);
        ulong at = it.MapRegistered(Page, source);
        PendingReply read = it.Client.Begin($"read {at}", 1);
        it.Client.WaitForExit();
        Eventually.True(() => read.IsLost, "the loss");
        Assert.Equal(at, WaitForEvent<ClientKilled>().Address);
        Assert.Equal(SessionEndReason.ClientKilled, WaitForEvent<SessionEnded>().Reason);
        Assert.Equal(1, CountersOf(Alice).KilledClients);
        bystander.AssertZero(bystander.MapRegistered(MiB), MiB);
    }

    [Fact]
    public void Wait_waits_until_the_source_is_back()
    {
        ScriptedSource source = Failing(silent: false);
        ServedClient it = Serve(policy: s_poison with { OnUnavailable = Verdict.Wait, Deadline = TimeSpan.FromMilliseconds(1), RetryBackoff = TimeSpan.FromMilliseconds(1) });
        ulong at = it.MapRegistered(Page, source);
        PendingReply read = it.Client.Begin($"read {at}", 1);
        source.WaitForFetches(6);
        Assert.False(read.IsCompleted);
        source.FailNext(0);
        Assert.Equal((ulong)source.ByteOf(0), read.AwaitValue());
    }

    [Fact]
    public void Time_in_which_the_manager_stood_still_is_not_the_sources()
    {
        Options = Options with { FaultLoops = 1 };
        ScriptedSource source = Scripted(Page);
        source.Hold();
        ServedClient it = Serve(policy: s_poison with { Deadline = TimeSpan.FromSeconds(3) });
        ulong at = it.MapRegistered(Page, source);
        PendingReply read = it.Client.Begin($"read {at}", 1);
        source.WaitForFetches(1);
        using ManualResetEventSlim never = new();
        LoopCommand<bool> standstill = new(_ => never.Wait(TimeSpan.FromSeconds(3.2)));
        it.Session.Loop.Post(standstill);
        Assert.False(standstill.Task.Finish());

        // The turn in which it is found out that the time is over.
        Engine.PingAsync().Finish();
        Engine.PingAsync().Finish();
        Assert.False(read.IsCompleted);
        source.Release();
        Assert.Equal((ulong)source.ByteOf(0), read.AwaitValue());
    }

    [Fact]
    public void Page_beyond_the_end_is_judged_at_once()
    {
        ScriptedSource source = Failing(silent: false);
        source.Failure = Errno.ENXIO;
        ServedClient it = Serve(policy: s_poison with { Deadline = TimeSpan.FromHours(1) });
        ulong at = it.MapRegistered(Page, source);
        Assert.Equal(ClientReply.Sigbus, it.Client.Try($"read {at}").Signal);
        Assert.Equal(1, source.Entered);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2 * 1024 * 1024)]
    public void File_truncated_behind_our_back_never_reads_as_zeros(int faultAround)
    {
        FileSource file = RandomFile((long)(4 * MiB), 11, out byte[] contents);
        ServedClient it = Serve(policy: s_poison with { FaultAroundBytes = faultAround });
        ulong at = it.MapRegistered(4 * MiB, file);
        using (FileStream open = File.OpenWrite(file.Description))
            open.SetLength((2 * (long)MiB) + 100);
        Assert.Equal(ClientProcess.Hash(contents.AsSpan(0, 2 * (int)MiB)), it.Client.HashRange(at, 2 * MiB));
        Assert.Equal(ClientReply.Sigbus, it.Client.Try($"read {at + (2 * MiB)}").Signal);
        Assert.Equal(ClientReply.Sigbus, it.Client.Try($"read {at + (3 * MiB)}").Signal);
        Assert.NotNull(Engine.PrefetchAsync(it.Session, at, 4 * MiB).Finish().Error);
    }

    // From now on it answers at once: a fetch, however good the source, may take longer than the deadline where the machine is busy.
    private static void Recover(ScriptedSource source)
    {
        source.InMemory = true;
        source.FailNext(0);
        source.Release();
    }

    private ScriptedSource Failing(bool silent)
    {
        ScriptedSource source = Scripted(8 * Page);
        if (silent)
            source.Hold();
        else
            source.FailAlways();
        return source;
    }
}
