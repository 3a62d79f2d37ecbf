using UffdManager.Engine.State;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.WorkingSets;
using Xunit;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>What becomes of a trace by what runs touch, and what a replay of it installs.</summary>
public sealed class TraceMergeTests
{
    private static readonly PageWindow s_all = new(0, 1 << 20);

    [Fact]
    public void First_run_is_replayed_as_it_was()
    {
        Trace trace = TraceMerge.Apply(null, OnDemand(5000, 3, 4, 5, 100));
        ReplayPlan plan = ReplayPlan.Make(trace, RunWithoutProbes(trace), s_all, 1000, 256);
        Assert.Equal([new Extent(3, 3), new Extent(100, 1)], plan.Extents);
        Assert.Equal(4, plan.Pages);
        Assert.False(plan.IsCut);
    }

    [Fact]
    public void Page_that_two_runs_on_demand_do_not_share_is_left_out()
    {
        Trace trace = TraceMerge.Apply(TraceMerge.Apply(null, OnDemand(5000, 1, 2, 3)), OnDemand(5000, 2, 3, 4));
        Assert.Equal(new uint[] { 2, 3 }, Replayed(trace));
    }

    [Fact]
    public void Page_that_turns_up_again_is_taken_in_and_one_that_does_not_is_forgotten()
    {
        Trace trace = TraceMerge.Apply(null, OnDemand(5000, 1));
        trace = TraceMerge.Apply(trace, Replaying(trace, 5000, 7, 8));
        Assert.Equal(new uint[] { 1 }, Replayed(trace));
        trace = TraceMerge.Apply(trace, Replaying(trace, 5000, 7));
        Assert.Equal(new uint[] { 1, 7 }, Replayed(trace));
        trace = TraceMerge.Apply(trace, Replaying(trace, 5000));
        trace = TraceMerge.Apply(trace, Replaying(trace, 5000));
        Assert.DoesNotContain(trace.Entries, entry => entry.Page == 8);
    }

    [Fact]
    public void Page_that_a_run_touches_later_than_any_run_was_seen_is_taken_in_at_once()
    {
        Trace trace = TraceMerge.Apply(null, OnDemand(100, 1));
        trace = TraceMerge.Apply(trace, Replaying(trace, 5000, [(9, 3000)]));
        Assert.Equal(new uint[] { 1, 9 }, Replayed(trace));
    }

    [Fact]
    public void Run_that_ends_early_says_nothing_of_what_is_touched_late()
    {
        Trace trace = TraceMerge.Apply(null, Report(5000, null, 0, [(1, 0), (2, 1000)]));
        trace = TraceMerge.Apply(trace, Report(10, null, 0, []));
        Assert.Equal(new uint[] { 2 }, Replayed(trace));
    }

    [Fact]
    public void Run_that_shows_a_part_of_the_source_says_nothing_of_the_rest()
    {
        Trace trace = TraceMerge.Apply(null, OnDemand(5000, 1, 1000));
        RunReport part = Report(5000, null, 0, []);
        trace = TraceMerge.Apply(trace, new RunReport
        {
            Number = part.Number,
            IsWhole = true,
            Replayed = null,
            IsReplayUseless = false,
            Milliseconds = part.Milliseconds,
            Outcome = ReplayOutcome.Recorded,
            Pages = new long[6],
            Windows = [new PageWindow(0, 500)],
            Touches = part.Touches,
        });
        Assert.Equal(new uint[] { 1000 }, Replayed(trace));
    }

    [Fact]
    public void Probes_have_their_turn_once_in_sixty_four_runs_and_are_not_installed()
    {
        uint[] pages = [.. Enumerable.Range(0, 640).Select(i => (uint)i * 3)];
        Trace trace = TraceMerge.Apply(null, OnDemand(5000, pages));
        Dictionary<uint, int> probed = [];
        for (int run = 1; run <= Trace.ProbeShare; run++)
        {
            HashSet<uint> installed = [.. Installed(ReplayPlan.Make(trace, run, s_all, long.MaxValue, 256))];
            foreach (uint page in pages.Where(page => !installed.Contains(page)))
                probed[page] = probed.GetValueOrDefault(page) + 1;
        }

        Assert.Equal(pages.Length, probed.Count);
        Assert.All(probed.Values, count => Assert.Equal(1, count));
    }

    [Fact]
    public void Replay_whose_probes_are_not_touched_is_learnt_anew_and_ends_with_what_runs_share()
    {
        uint[] first = [.. Enumerable.Range(0, 2000).Select(i => (uint)i)];
        uint[] other = [.. Enumerable.Range(1900, 2000).Select(i => (uint)i)];
        Trace trace = TraceMerge.Apply(null, OnDemand(5000, first));
        trace = TraceMerge.Apply(trace, Replaying(trace, 5000, [.. other.Where(page => page >= 2000)]));
        Assert.True(trace.Relearn);
        trace = TraceMerge.Apply(trace, OnDemand(5000, other));
        Assert.False(trace.Relearn);
        uint[] replayed = Replayed(trace);
        Assert.Contains(1950u, replayed);
        Assert.DoesNotContain(500u, replayed);
    }

    [Fact]
    public void Replay_whose_probes_are_touched_goes_on()
    {
        uint[] pages = [.. Enumerable.Range(0, 2000).Select(i => (uint)i)];
        Trace trace = TraceMerge.Apply(null, OnDemand(5000, pages));
        for (int run = 1; run < 10; run++)
        {
            trace = TraceMerge.Apply(trace, Report(5000, trace, run, [.. pages.Where(page => Trace.IsProbe(page, run)).Select(page => (page, 5u))]));
            Assert.False(trace.Relearn);
        }

        Assert.Equal(trace.ProbesJudged, trace.ProbesTouched);
        Assert.InRange(trace.ProbesJudged, 8, 2000);
    }

    [Fact]
    public void Plan_begins_with_what_is_needed_first_and_ends_where_the_policy_says()
    {
        Trace trace = TraceMerge.Apply(null, Report(9000, null, 0, [(10, 5000), (20, 3), (21, 4), (1000, 1), (500, 100)]));
        int run = RunWithoutProbes(trace);
        Assert.Equal([new Extent(20, 2), new Extent(1000, 1), new Extent(500, 1), new Extent(10, 1)], ReplayPlan.Make(trace, run, s_all, 100, 256).Extents);
        ReplayPlan cut = ReplayPlan.Make(trace, run, s_all, 3, 256);
        Assert.Equal([new Extent(20, 2), new Extent(1000, 1)], cut.Extents);
        Assert.True(cut.IsCut);
        Assert.Equal([new Extent(20, 2)], ReplayPlan.Make(trace, run, new PageWindow(15, 30), 100, 256).Extents);
        Assert.Equal([new Extent(20, 1), new Extent(21, 1)], ReplayPlan.Make(trace, run, new PageWindow(15, 30), 100, 1).Extents);
    }

    private static IEnumerable<uint> Installed(ReplayPlan plan) =>
        plan.Extents.SelectMany(extent => Enumerable.Range((int)extent.Page, extent.Pages).Select(page => (uint)page));

    private static uint[] Replayed(Trace trace) => [.. trace.Entries.Where(entry => entry.IsReplayed).Select(entry => entry.Page)];

    private static int RunWithoutProbes(Trace trace) =>
        Enumerable.Range(1, 64).First(run => !trace.Entries.Any(entry => Trace.IsProbe(entry.Page, run)));

    private static RunReport OnDemand(long milliseconds, params uint[] pages) => Report(milliseconds, null, 0, [.. pages.Select(page => (page, 5u))]);

    private static RunReport Replaying(Trace trace, long milliseconds, params uint[] pages) =>
        Replaying(trace, milliseconds, [.. pages.Select(page => (page, 5u))]);

    private static RunReport Replaying(Trace trace, long milliseconds, (uint Page, uint Milliseconds)[] touched) =>
        Report(milliseconds, trace, RunWithoutProbesOr(trace, 1), touched);

    private static int RunWithoutProbesOr(Trace trace, int run) =>
        Enumerable.Range(1, 64).FirstOrDefault(number => !trace.Entries.Any(entry => Trace.IsProbe(entry.Page, number)), run);

    private static RunReport Report(long milliseconds, Trace? replayed, int number, (uint Page, uint Milliseconds)[] touched)
    {
        TouchLog log = new(new TouchBudget(new MemoryGauge(), new MemoryGauge()));
        foreach ((uint page, uint at) in touched)
            Assert.True(log.TryAdd(new Touch(page, 1, at)));
        return new RunReport
        {
            Number = number,
            IsWhole = true,
            Replayed = replayed,
            IsReplayUseless = false,
            Milliseconds = milliseconds,
            Outcome = replayed is null ? ReplayOutcome.Recorded : ReplayOutcome.Replayed,
            Pages = new long[6],
            Windows = [s_all],
            Touches = log,
        };
    }
}
