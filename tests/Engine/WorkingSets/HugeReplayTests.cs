using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.WorkingSets;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>Working sets of huge pages, which are scarce.</summary>
public sealed class HugeReplayTests : WorkingSetTest
{
    private const ulong Huge = HugePages.PageSize;

    // None of them is a probe of the second run.
    private static readonly ulong[] s_touched = [0, 2, 5];

    [SkippableFact]
    public void Huge_pages_of_the_first_run_are_installed_before_the_second_asks_for_them()
    {
        using HugePages pool = HugePages.AtLeast(6);
        ScriptedSource source = RunOnce();
        ServedClient it = ServeHuge(source, out ulong at);
        Eventually.True(() => it.Status().ResidentBytes == s_touched.Length * (long)Huge, "the replay");
        foreach (ulong page in s_touched)
            it.AssertHolds(at + (page * Huge), 8 * Page, source, (long)(page * Huge));
        Assert.Equal(0, it.Status().Faults);
        it.AssertHolds(at + Huge, Page, source, (long)Huge);
        EndRun(it);
        WorkingSetReading reading = Assert.Single(Engine.ReadWorkingSets());
        Assert.Equal(((int)Huge, s_touched.Length * 512L, 512L), (reading.Key.PageBytes, reading.Totals.Pages(ReplayPages.Installed), reading.Totals.Pages(ReplayPages.Missed)));
    }

    [SkippableFact]
    public void Empty_pool_ends_a_replay_with_its_first_page()
    {
        using HugePages pool = HugePages.AtLeast(4);
        ScriptedSource source = RunOnce();
        Eventually.True(() => HugePages.Free >= 4, "the pages of the first run");
        ClientProcess hog = StartClient();
        hog.Map("hugetlb", (ulong)HugePages.Free * Huge);
        int before = source.Entered;
        ServedClient it = ServeHuge(source, out ulong at);
        WaitForEvent<HugePoolExhausted>();
        WaitForEndOfJobs(it);
        Assert.Equal(before + 1, source.Entered);
        hog.Kill();
        foreach (ulong page in s_touched)
            it.AssertHolds(at + (page * Huge), Page, source, (long)(page * Huge));
        EndRun(it);
        Assert.Equal(1, CountersOf(Alice).Runs(ReplayOutcome.Failed));
    }

    private ScriptedSource RunOnce()
    {
        Assert.DoesNotContain(s_touched, page => Trace.IsProbe((uint)page, 1));
        ScriptedSource source = Known(8 * Huge);
        ServedClient it = ServeHuge(source, out ulong at);
        foreach (ulong page in s_touched)
            it.AssertHolds(at + (page * Huge) + Page, Page, source, (long)((page * Huge) + Page));
        EndRun(it);
        return source;
    }

    private ServedClient ServeHuge(ScriptedSource source, out ulong at)
    {
        ServedClient it = Serve(policy: Replay);
        (at, _) = it.Client.Map("hugetlb-noreserve", 8 * Huge);
        it.Register(at, 8 * Huge, source);
        return it;
    }
}
