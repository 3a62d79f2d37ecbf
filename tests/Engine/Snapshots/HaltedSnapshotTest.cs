using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>Snapshots that stand still in the middle: with the least memory, and a base that does not answer, the first 256 pages are on their way and nothing beyond.</summary>
public abstract class HaltedSnapshotTest : SnapshotTest
{
    protected const ulong Pages = 2048;
    protected const ulong Unsaved = 1024;

    private readonly List<ScriptedSource> _bases = [];

    protected ScriptedSource Blocked()
    {
        ScriptedSource source = Scripted(Pages * Page, seed: 77);
        source.InMemory = false;
        source.Hold();
        _bases.Add(source);
        return source;
    }

    protected ScriptedSource Base => _bases[^1];

    protected void ReleaseFirstBase() => _bases[0].ReleaseForGood();

    protected void ReleaseBases() => _bases.ForEach(source => source.ReleaseForGood());

    // A snapshot that has read its first pages, and cannot go on for lack of memory.
    protected (ServedClient It, ulong At, RunningSnapshot Snapshot) Halted(ServedClient serve, TimeSpan? stallLimit = null, UffdRegisterModes modes = UffdRegisterModes.Missing, CancellationToken cancel = default)
    {
        ulong at = serve.MapRegistered(Pages * Page, modes: modes);
        serve.Client.Run($"fill {at} {Pages * Page} 1");
        return (serve, at, Halt(serve, stallLimit, cancel));
    }

    protected RunningSnapshot Halt(ServedClient it, TimeSpan? stallLimit = null, CancellationToken cancel = default)
    {
        RunningSnapshot snapshot = Begin(it, Blocked(), bufferBytes: 1, cancel: cancel, stallLimit: stallLimit);
        Eventually.True(() => snapshot.Progress.DoneBytes >= 256 * (long)Page || snapshot.Task.IsCompleted, "the first pages to be read");
        Assert.True(snapshot.Progress.DoneBytes < (long)(Unsaved * Page));
        if (!snapshot.Task.IsCompleted)
        {
            // Only now does its writer stand still too.
            Base.WaitForFetches(1);
        }

        return snapshot;
    }

    protected long Held => CountersOf(Alice).Faults(FaultKind.WriteProtect, FaultOutcome.Held);

    protected void AssertEnded(RunningSnapshot snapshot, Errno errno, string text)
    {
        ReleaseBases();
        AssertFailed(snapshot.Report(), errno, text);
    }

    protected static void AssertFailed(SnapshotReport report, Errno errno, string text)
    {
        EngineError? error = report.Error;
        Assert.NotNull(error);
        Assert.Equal(errno, error.Errno);
        Assert.Contains(text, error.Text, StringComparison.Ordinal);
    }

    // A diff: a hole where the base has the same.
    protected void AssertFilled(byte[] image, byte value, ulong first = 0, ulong count = Pages)
    {
        for (ulong page = first; page < first + count; page++)
        {
            ReadOnlySpan<byte> contents = image.AsSpan((int)(page * Page), (int)Page);
            Assert.True(!contents.ContainsAnyExcept(value) || (Base.ByteOf((long)(page * Page)) == value && !contents.ContainsAnyExcept((byte)0)), $"page {page}");
        }
    }

    // A snapshot whose loop stands still in the first turn in which something is so.
    private protected (RunningSnapshot Snapshot, HeldLoop Loop) BeginHeldAt(ServedClient it, Func<bool> when, TimeSpan? stallLimit = null)
    {
        using HeldLoop before = new(it.Session);
        return (Begin(it, stallLimit: stallLimit), HeldLoop.At(it.Session, when));
    }

    // Whether the first page is protected; asked on the loop. Writers who meet it are let go until the last round, which can be made to begin here.
    private protected static bool IsProtecting(ServedClient it, bool letsGo)
    {
        if (it.Session.Snapshot is not { IsRegistered: true, ArmCursor: > 0 } snapshot)
            return false;
        if (!letsGo)
            snapshot.Lifted.Hold(MonotonicClock.NowNanoseconds);
        return true;
    }
}
