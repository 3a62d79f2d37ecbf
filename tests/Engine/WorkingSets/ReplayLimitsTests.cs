using UffdManager.Engine.Loops;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.WorkingSets;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>Sources that answer in part, and sessions that have as much to do as they may.</summary>
public sealed class ReplayLimitsTests : WorkingSetTest
{
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Source_that_answers_with_the_beginning_of_a_piece_is_asked_for_the_rest(int pages)
    {
        ScriptedSource source = Learn();
        source.MostPages = pages;
        ServedClient it = Serve(policy: Replay);
        ulong at = it.MapRegistered(Image, source);
        ulong[] planned = [.. Wanted.Where(page => !Trace.IsProbe((uint)page, 1))];
        WaitForReplay(it, planned.Length);
        WaitForEndOfJobs(it);
        foreach (ulong page in planned)
            it.AssertHolds(at + (page * Page), Page, source, (long)(page * Page));
        Assert.Equal(0, it.Status().Faults);
    }

    [Fact]
    public void Session_that_has_as_many_ranges_to_fill_as_it_may_replays_no_other_one()
    {
        ScriptedSource source = Learn();
        ScriptedSource slow = Scripted(64 * Page);
        ServedClient it = Serve(policy: Replay);
        ulong busy = it.MapRegistered(64 * Page, slow, Named);
        slow.Hold();
        Task<EngineResult>[] fills = [.. Enumerable.Range(0, 64).Select(page => Engine.PrefetchAsync(it.Session, busy + ((ulong)page * Page), Page))];
        Eventually.True(() => JobsOf(it) == 64, "all that it may have");
        ulong at = it.MapRegistered(Image, source);
        Assert.True(Engine.WorkingSets.WaitForRest(Eventually.DefaultDeadline));
        Assert.Equal(64, JobsOf(it));
        it.AssertHolds(at, Page, source);
        slow.ReleaseForGood();
        Assert.All(fills, fill => Assert.Null(fill.Finish().Error));
        Assert.Equal(1, it.Session.Runs[0].Touches.Count);
        Assert.Null(it.Session.Runs[0].Replayed);
    }

    // Behind what the loop was told before.
    private static int JobsOf(ServedClient it)
    {
        LoopCommand<int> count = new(_ => it.Session.Jobs.Count);
        it.Session.Loop.Post(count);
        return count.Task.Finish();
    }

    private ScriptedSource Learn()
    {
        ScriptedSource source = Known(Image);
        ServedClient first = Serve(policy: Replay);
        ulong at = first.MapRegistered(Image, source);
        foreach (ulong page in Wanted)
            first.AssertHolds(at + (page * Page), Page, source, (long)(page * Page));
        EndRun(first);
        return source;
    }
}
