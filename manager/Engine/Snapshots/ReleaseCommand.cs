using UffdManager.Engine.Loops;
using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>Pages have been read in their turn: lets their writers go, and notes it. There is one of it, which goes on to where the reader has come, a slice at a time.</summary>
internal sealed class ReleaseCommand(Snapshot snapshot) : LoopCommand
{
    private const long Backoff = 40_000;

    // How long faults may have to wait for it, nanoseconds.
    private const long Slice = 30_000;

    public override bool TryRun(FaultLoop loop, long now)
    {
        ulong turn = snapshot.Turn;
        long until = MonotonicClock.NowNanoseconds + Slice;
        ulong end;
        do
        {
            if (snapshot.IsOver)
            {
                return true;
            }

            ulong start = snapshot.ReadBelow;
            end = snapshot.EndOfSlice(start, turn);
            if (start < turn)
            {
                if (FaultLoop.Release(snapshot, start, end) == Errno.EAGAIN)
                {
                    DueAt = now + Backoff;
                    return false;
                }

                snapshot.NoteReadBelow(end, now);
            }
        }
        while (end < turn && MonotonicClock.NowNanoseconds < until);

        DueAt = now;
        return end >= turn && snapshot.TryRest();
    }

    public override void Refuse() => snapshot.Fail(EngineErrorKind.State, Errno.ESHUTDOWN, "the manager stops");
}
