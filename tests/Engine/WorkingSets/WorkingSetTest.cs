using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>Runs of real clients on one image, whose traces are kept in memory.</summary>
public abstract class WorkingSetTest : EngineTest
{
    private protected const ulong Image = 8 * MiB;

    private protected MemoryTraceStore Traces { get; } = new();

    protected WorkingSetTest() => Options = Options with { FaultLoops = 1, TraceStore = Traces };

    // Runs end when the tests end them, however busy the machine is.
    private protected static Policy Replay { get; } = Named with
    {
        Name = "replay",
        Prefetch = new PrefetchPolicy { Mode = PrefetchMode.Replay, RecordTime = TimeSpan.FromHours(1), MaximumTime = TimeSpan.FromHours(1) },
    };

    // Every fourth page of the first half, and a stretch of 64.
    private protected static ulong[] Wanted { get; } = [.. Enumerable.Range(0, 256).Select(i => (ulong)i * 4), .. Enumerable.Range(1500, 64).Select(i => (ulong)i)];

    // Faults of a session so far, after one more page was touched.
    private protected static long Faulted(ServedClient it, ulong address)
    {
        it.Client.ReadByte(address);
        return it.Status().Faults;
    }

    private protected static void AssertPage(ServedClient it, ulong address, byte[] contents, ulong page) =>
        Assert.Equal(contents[page * Page], it.Client.ReadByte(address));

    private protected static void WaitForReplay(ServedClient it, int pages = 0)
    {
        long wanted = (pages == 0 ? Wanted.Length * 95 / 100 : pages) * (long)Page;
        Eventually.True(() => it.Status().ResidentBytes >= wanted, "the replay");
    }

    private protected long Run(PageSource file, byte[] contents, Policy policy, ulong[] pages, UffdRegisterModes modes = UffdRegisterModes.Missing, TimeSpan life = default)
    {
        ServedClient it = Serve(policy: policy);
        ulong at = it.MapRegistered((ulong)contents.Length, file, modes: modes);
        foreach (ulong page in pages)
            AssertPage(it, at + (page * Page), contents, page);
        long faults = it.Status().Faults;
        Eventually.True(() => MonotonicClock.NowNanoseconds - it.Session.StartedAt >= life.TotalNanoseconds, "the end of the run's life");
        EndRun(it);
        return faults;
    }

    private protected long RunPrefetched(PageSource file, byte[] contents, Policy policy, ulong[] pages)
    {
        ServedClient it = Serve(policy: policy);
        ulong at = it.MapRegistered((ulong)contents.Length, file);
        WaitForReplay(it);
        foreach (ulong page in pages)
            AssertPage(it, at + (page * Page), contents, page);
        return it.Status().Faults;
    }

    private protected void EndRun(ServedClient it)
    {
        int before = Traces.Saves;
        bool isObserved = it.Session.Runs.Count > 0;
        it.Client.Kill();
        Eventually.True(() => !Engine.Sessions().Contains(it.Session), "the end of the session");
        if (isObserved)
            Eventually.True(() => Traces.Saves > before, "what was learnt");

        // Kept before the run is counted as gone.
        if (Traces.Held is null)
            Assert.True(Engine.WorkingSets.WaitForRest(Eventually.DefaultDeadline));
    }

    private protected static void WaitForEndOfJobs(ServedClient it) => Eventually.True(() => it.Session.Jobs.Count == 0, "the end of the replay");

    private protected ScriptedSource Known(ulong bytes)
    {
        ScriptedSource source = Scripted(bytes);
        source.KnownAs = new SourceIdentity(1, 2, (long)bytes, 3);
        return source;
    }

    // A client whose replay hangs in the source with its first batch.
    private protected ServedClient ServeHeldReplay(out ScriptedSource source, out ulong at, Policy? policy = null)
    {
        source = Known(Image);
        ServedClient first = Serve(policy: policy ?? Replay);
        at = first.MapRegistered(Image, source);
        foreach (ulong page in Wanted)
            first.AssertHolds(at + (page * Page), Page, source, (long)(page * Page));
        EndRun(first);

        int before = source.Entered;
        source.Hold();
        ServedClient second = Serve(policy: policy ?? Replay);
        at = second.MapRegistered(Image, source);
        source.WaitForFetches(before + 1);
        return second;
    }
}
