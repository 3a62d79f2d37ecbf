using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>What is known of working sets, and what operators are told of them.</summary>
public sealed class ReplayBooksTests : WorkingSetTest
{
    private TraceKey Key(PageSource source) => new(Alice.Name, source.Identity!.Value, PageSize.Base);

    [Fact]
    public void Working_set_tells_what_became_of_its_runs()
    {
        FileSource file = RandomFile((long)Image, 1, out byte[] contents);
        Assert.Null(Engine.LookAtWorkingSetAsync(Key(file), file.Location).Finish());
        Assert.Empty(Engine.ReadWorkingSets());
        Run(file, contents, Replay, Wanted);
        WorkingSetReading learnt = Assert.Single(Engine.ReadWorkingSets());
        Assert.Equal(Key(file), learnt.Key);
        Assert.Equal(file.Location, learnt.Location);
        Assert.Equal((Wanted.Length, Wanted.Length, 1, false, 0), (learnt.KnownPages, learnt.ReplayedPages, learnt.Runs, learnt.Relearns, learnt.LiveRuns));
        Assert.Equal(ReplayOutcome.Recorded, learnt.Totals.Last);

        ServedClient it = Serve(policy: Replay);
        ulong at = it.MapRegistered(Image, file);
        int planned = Wanted.Count(page => !Trace.IsProbe((uint)page, 1));
        WaitForReplay(it, planned);
        Assert.Equal(1, Assert.Single(Engine.ReadWorkingSets()).LiveRuns);
        foreach (ulong page in Wanted)
            AssertPage(it, at + (page * Page), contents, page);
        AssertPage(it, at + Page, contents, 1);
        EndRun(it);
        WorkingSetReading replayed = Engine.LookAtWorkingSetAsync(Key(file), file.Location).Finish()!;
        Assert.Equal((2, 0, (ReplayOutcome?)ReplayOutcome.Replayed), (replayed.Runs, replayed.LiveRuns, replayed.Totals.Last));
        Assert.Equal((1, 1), (replayed.Totals.Runs(ReplayOutcome.Recorded), replayed.Totals.Runs(ReplayOutcome.Replayed)));
        Assert.Equal((planned, 1, 0), (replayed.Totals.Pages(ReplayPages.Installed), replayed.Totals.Pages(ReplayPages.Missed), replayed.Totals.Pages(ReplayPages.Late)));
        Assert.Equal((planned, 0), (replayed.Totals.Pages(ReplayPages.Used), replayed.Totals.Pages(ReplayPages.Wasted)));
        Assert.Equal(Wanted.Length - planned, replayed.Totals.Pages(ReplayPages.Probed));
    }

    [Fact]
    public void Working_set_of_an_earlier_engine_is_found_in_the_store()
    {
        FileSource file = RandomFile((long)Image, 2, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        DropEngine();
        Assert.Empty(Engine.ReadWorkingSets());
        WorkingSetReading found = Engine.LookAtWorkingSetAsync(Key(file), file.Location).Finish()!;
        Assert.Equal((Wanted.Length, 1, (ReplayOutcome?)null), (found.KnownPages, found.Runs, found.Totals.Last));
    }

    [Fact]
    public void Working_set_that_was_forgotten_is_learnt_anew()
    {
        FileSource file = RandomFile((long)Image, 3, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        Assert.True(Engine.ForgetWorkingSetAsync(Key(file), file.Location).Finish());
        Assert.False(Engine.ForgetWorkingSetAsync(Key(file), file.Location).Finish());
        Assert.Null(Engine.LookAtWorkingSetAsync(Key(file), file.Location).Finish());
        Assert.Equal(Wanted.Length, Run(file, contents, Replay, Wanted));
        Assert.InRange(RunPrefetched(file, contents, Replay, Wanted), 0, Wanted.Length * 5 / 100);
    }

    [Fact]
    public void Run_that_replays_what_is_forgotten_meanwhile_is_not_learnt_from()
    {
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out ulong at);
        Assert.True(Engine.ForgetWorkingSetAsync(Key(source), null).Finish());
        source.Release();
        it.AssertHolds(at, 64 * Page, source);
        it.Client.Kill();
        Eventually.True(() => Engine.Sessions().Count == 0, "the end of the session");
        Assert.True(Engine.WorkingSets.WaitForRest(Eventually.DefaultDeadline));
        Assert.Null(Engine.LookAtWorkingSetAsync(Key(source), null).Finish());
    }

    [Fact]
    public void Store_that_hangs_holds_one_thread_and_its_own_tenant_alone()
    {
        Traces.Held = Alice.Name;
        FileSource[] files = [RandomFile((long)Image, 4, out byte[] contents), RandomFile((long)Image, 5, out _), RandomFile((long)Image, 6, out _)];
        foreach (FileSource file in files)
        {
            ServedClient it = Serve(policy: Replay);
            it.Client.ReadByte(it.MapRegistered(Image, file));
            it.Client.Kill();
        }

        Eventually.True(() => Traces.Waiting == 1, "a save that hangs");
        Eventually.True(() => Engine.Sessions().Count == 0, "the end of the sessions");
        ServedClient other = Serve(tenant: Bob, policy: Replay);
        AssertPage(other, other.MapRegistered(Image, files[0]), contents, 0);
        EndRun(other);
        Assert.Equal((1, 1), (Traces.Saves, Traces.Waiting));
        Traces.Release();
        Eventually.True(() => Traces.Saves == 4, "what was held");
    }

    [Fact]
    public void What_lies_beyond_the_source_is_not_recorded()
    {
        FileSource file = RandomFile(10 * (long)Page, 7, out byte[] contents);
        Policy wide = Replay with { FaultAroundBytes = 16 * (int)Page };
        for (int run = 0; run < 2; run++)
        {
            ServedClient it = Serve(policy: wide);
            (ulong at, _) = it.Client.Map("anon", 16 * Page);
            it.Client.Run($"munmap {at + (10 * Page)} {6 * Page}");
            it.Register(at, 10 * Page, file);
            it.Client.Run($"mremap {at} {10 * Page} {16 * Page}");
            LoopCommand<Regions.Region?> grow = new(_ => Growth.Find(it.Session, at + (12 * Page), out Regions.Region? grown) == GrowthAnswer.Grown ? grown : null);
            it.Session.Loop.Post(grow);
            Assert.Equal(16 * Page, grow.Task.Finish()!.Length);
            AssertPage(it, at + (9 * Page), contents, 9);
            EndRun(it);
            DropEngine();
        }

        // What was kept is taken, not thrown away.
        Assert.Empty(Traces.Rejections);
        Assert.Equal(2, Traces.Saves);
    }

    [Fact]
    public void Pages_of_a_cold_shared_image_are_counted_and_who_waits_for_one_has_touched_it()
    {
        ScriptedSource source = Known(Image);
        ServedClient first = ServeShared(source, out ulong at, out SharedImage image);
        using (image)
        {
            foreach (ulong page in Wanted)
                first.AssertHolds(at + (page * Page), Page, source, (long)(page * Page));
            EndRun(first);
        }

        source.Hold();
        ServedClient second = ServeShared(source, out at, out image);
        using (image)
        {
            Eventually.True(() => second.Session.Tickets.Count == 4, "the first pages of the replay");
            PendingReply read = second.Client.Begin($"read {second.Session.Tickets[0].Start}", 1);
            Eventually.True(() => second.Status().Faults == 1, "the fault");
            source.Release();
            read.AwaitValue();
            WaitForReplay(second);
            EndRun(second);
        }

        TenantSnapshot counters = CountersOf(Alice);
        Assert.Equal(1, counters.Replayed(ReplayPages.Late));
        Assert.InRange(counters.Replayed(ReplayPages.Installed), Wanted.Length * 95 / 100, Wanted.Length);
    }

    private ServedClient ServeShared(ScriptedSource source, out ulong at, out SharedImage image)
    {
        ServedClient it = Serve(policy: Replay);
        image = SharedImage.Create(source, 0, (long)Image, writable: false, "test");
        using SafeFd handed = image.HandOut(writable: false);
        int number = it.Client.Give(handed);
        at = it.Client.Run($"mapfd {number} 0 {Image} 0 3");
        Assert.Null(it.TryRegister(at, Image, modes: UffdRegisterModes.Missing | UffdRegisterModes.Minor, image: image).Error);
        return it;
    }
}
