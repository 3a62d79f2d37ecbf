using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tests.State;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>A manager ends in the middle of what it does ahead of the faults; the next one goes on.</summary>
public sealed class ResumedReplayTests : RestoreTest
{
    private const ulong Image = 16 * MiB;

    private readonly MemoryTraceStore _traces = new();

    public ResumedReplayTests() => Options = Options with { TraceStore = _traces };

    // Runs end when the tests end them, however busy the machine is.
    private static Policy Replaying { get; } = Named with
    {
        Prefetch = new PrefetchPolicy { Mode = PrefetchMode.Replay, RecordTime = TimeSpan.FromHours(1), MaximumTime = TimeSpan.FromHours(1) },
    };

    [Fact]
    public void Working_set_that_was_learnt_is_replayed_by_the_next_manager_and_the_bytes_are_right()
    {
        FileSource file = RandomFile((long)Image, 1, out byte[] contents);
        ServedClient first = Serve(policy: Replaying);
        ulong at = first.MapRegistered(Image, file);
        for (ulong page = 0; page < 1000; page++)
            Assert.Equal(contents[page * 2 * Page], first.Client.ReadByte(at + (page * 2 * Page)));
        first.Client.Kill();
        Eventually.True(() => _traces.Saves == 1, "what was learnt");

        // Ended as soon as it is planned: whether the replay is in the middle or done is a matter of luck. A run that ends before, and lived longer than to
        // the time of some pages, would teach that they are not needed.
        ServedClient second = Serve(policy: Replaying);
        at = second.MapRegistered(Image, file);
        Eventually.True(() => second.Session.Runs[0].Replayed is not null, "the plan");
        second.Client.ReadByte(at + (5 * Page));
        second.Client.WriteByte(at + (6 * Page), 99);
        contents[6 * Page] = 99;
        ServedClient again = Again(second, Restart());
        Eventually.True(() => again.Status().ResidentBytes >= 950 * (long)Page, "the rest of the replay");
        Assert.Equal(ClientProcess.Hash(contents), again.Client.HashRange(at, Image));

        // Whoever saw the end of the run only has nothing to say about it.
        int saves = _traces.Saves;
        again.Client.Kill();
        Eventually.True(() => Engine.Sessions().Count == 0, "the end of the session");
        Assert.True(Engine.WorkingSets.WaitForRest(TimeSpan.FromSeconds(10)));
        Assert.Equal(saves, _traces.Saves);
    }

    [Fact]
    public void Region_that_was_being_filled_is_filled_by_the_next_manager()
    {
        Policy policy = Named with { Prefetch = new PrefetchPolicy { Mode = PrefetchMode.Full } };
        FileSource file = RandomFile((long)Image, 2, out byte[] contents);
        ServedClient it = Serve(policy: policy);
        ulong at = it.MapRegistered(Image, file);
        ServedClient again = Again(it, Restart());
        Eventually.True(() => again.Status().ResidentBytes == (long)Image, "the rest of the region");
        Assert.Equal(ClientProcess.Hash(contents), again.Client.HashRange(at, Image));
        Assert.Equal(0, again.Status().Faults);
    }

    [Fact]
    public void Forked_child_is_filled_by_no_manager()
    {
        Policy policy = Named with { Prefetch = new PrefetchPolicy { Mode = PrefetchMode.ReplayThenFull, RecordTime = TimeSpan.FromHours(1) } };
        ServedClient it = Serve(policy: policy);
        ulong at = it.MapRegistered(MiB, RandomFile((long)MiB, 4, out byte[] contents));
        Assert.Equal(RegionFlags.Ahead, Assert.Single(it.Session.Regions.All).Flags);
        it.Client.Run("fork");
        ClientProcess child = Track(it.Client.AcceptChild());
        Eventually.True(() => Engine.Sessions().Count == 2, "the child's session");
        RestoreReport report = Restart();
        Session restored = report.Sessions.Single(it => it.Session.ParentId != 0).Session;
        Assert.Equal(RegionFlags.None, Assert.Single(restored.Regions.All).Flags);
        Assert.Empty(restored.Runs);
        Assert.Single(report.Sessions.Single(it => it.Session.ParentId == 0).Session.Runs);
        Assert.Equal(contents[0], child.ReadByte(at));
    }

    [Fact]
    public void Region_that_was_filled_is_not_filled_again_by_the_next_manager()
    {
        Policy policy = Named with { Prefetch = new PrefetchPolicy { Mode = PrefetchMode.Full } };
        FileSource file = RandomFile((long)MiB, 5, out byte[] contents);
        ServedClient it = Serve(policy: policy);
        ulong at = it.MapRegistered(MiB, file, flags: RegionFlags.RemoveMeansSource);
        Eventually.True(() => it.Status().ResidentBytes == (long)MiB && it.Session.Jobs.Count == 0, "the region");
        it.Client.Run($"madvise {at} {MiB / 2} 4");
        ServedClient again = Again(it, Restart());
        Eventually.Never(() => again.Status().ResidentBytes > (long)(MiB / 2), TimeSpan.FromMilliseconds(50), "what was given back");
        Assert.Empty(again.Session.Jobs);
        Assert.Equal(ClientProcess.Hash(contents), again.Client.HashRange(at, MiB));
    }

    [Fact]
    public void Run_that_was_handed_over_is_learnt_from_as_far_as_it_went()
    {
        FileSource file = RandomFile((long)Image, 3, out _);
        ServedClient it = Serve(policy: Replaying);
        ulong at = it.MapRegistered(Image, file);
        for (ulong page = 0; page < 100; page++)
            it.Client.ReadByte(at + (page * Page));
        EndManager();
        Eventually.True(() => _traces.Saves == 1, "what was learnt");
        StartNext();
    }

    [Fact]
    public void Policy_of_a_restored_region_says_what_it_said_before()
    {
        PrefetchPolicy prefetch = new()
        {
            Mode = PrefetchMode.ReplayThenFull,
            MaximumBytes = 5 << 20,
            MaximumTime = TimeSpan.FromSeconds(6),
            MaximumPagesInFlight = 7,
            RecordTime = TimeSpan.FromSeconds(8),
        };
        PolicyDocument document = PolicyDocument.Of(Named with { Prefetch = prefetch });
        Assert.Equal(prefetch, document.ToPolicy(null).Prefetch);
        Assert.Equal(PrefetchMode.Full, (document with { Prefetch = null, PrefetchOnRegister = true }).ToPolicy(null).Prefetch.Mode);
        Assert.Equal(PrefetchMode.None, (document with { Prefetch = null }).ToPolicy(null).Prefetch.Mode);
    }
}
