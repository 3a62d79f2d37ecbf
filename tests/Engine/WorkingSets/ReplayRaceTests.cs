using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.WorkingSets;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>What becomes of a replay when the ground moves under it.</summary>
public sealed class ReplayRaceTests : WorkingSetTest
{
    [Fact]
    public void Page_that_is_given_back_while_its_batch_is_fetched_reads_as_zeros()
    {
        // The first batch is of the first pages of the plan, all of them below.
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out ulong at);
        it.Client.Run($"madvise {at} {2 * MiB} 4");
        source.Release();
        WaitForEndOfJobs(it);
        it.AssertZero(at, 2 * MiB);
        it.AssertHolds(at + (2 * MiB), Image - (2 * MiB), source, 2 * (long)MiB);
    }

    [Fact]
    public void Range_that_is_of_another_source_when_its_batch_comes_gets_nothing_of_it()
    {
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out ulong at);
        Assert.Null(Engine.UnregisterAsync(it.Session, at, Image).Finish().Error);
        it.Register(at, Image, ZeroSource.Instance);
        source.Release();
        WaitForEndOfJobs(it);
        Assert.Equal(0, it.Status().ResidentBytes);
        it.AssertZero(at, Image);
    }

    [Fact]
    public void Range_that_shows_another_part_when_its_batch_comes_gets_nothing_of_it()
    {
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out ulong at);
        Assert.Null(Engine.UnregisterAsync(it.Session, at, Image).Finish().Error);
        it.Register(at, Image / 2, source, offset: (long)(Image / 2));
        source.Release();
        WaitForEndOfJobs(it);
        it.AssertHolds(at, Image / 2, source, (long)(Image / 2));
    }

    [Fact]
    public void Range_that_moves_away_before_its_batch_comes_holds_what_it_must()
    {
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out ulong at);
        (ulong to, _) = it.Client.Map("anon", Image);
        it.Client.Run($"mremap {at} {Image} {Image} {to}");
        source.Release();
        WaitForEndOfJobs(it);
        it.AssertHolds(to, Image, source);
    }

    [Fact]
    public void Client_that_dies_during_its_replay_leaves_nothing_behind()
    {
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out _);
        Assert.InRange(Engine.WorkingSets.TouchBytes.Bytes, 0, 0);
        it.Client.Kill();
        Eventually.True(() => Engine.Sessions().Count == 0, "the end of the session");
        source.Release();
        Eventually.True(() => Alice.Usage is { Fetches: 0, PagesInFlight: 0 }, "the end of the fetches");
        Assert.True(Engine.WorkingSets.WaitForRest(Eventually.DefaultDeadline));
        Assert.Equal(0, Engine.WorkingSets.TouchBytes.Bytes);
        Assert.Equal(0, Alice.Usage.TouchBytes.Bytes);
        Assert.Equal(0, Assert.Single(Engine.ReadWorkingSets()).LiveRuns);
    }

    [Fact]
    public void Batch_on_its_way_stands_for_no_address()
    {
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out _);
        using (new HeldLoop(it.Session))
        {
            Assert.NotEmpty(it.Session.Tickets);
            Assert.All(it.Session.Tickets, ticket => Assert.True(ticket.Batch is not null && ticket.Start > ulong.MaxValue / 2 && ticket.End > ticket.Start));
        }

        source.Release();
    }

    [Fact]
    public void Source_that_fails_ends_the_replay_and_nothing_else()
    {
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out ulong at);
        source.FailNext(1);
        source.Release();
        WaitForEndOfJobs(it);
        foreach (ulong page in Wanted)
            it.AssertHolds(at + (page * Page), Page, source, (long)(page * Page));
        EndRun(it);
        Assert.Equal(1, CountersOf(Alice).Runs(ReplayOutcome.Failed));
    }
}
