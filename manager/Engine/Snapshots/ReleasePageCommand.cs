using UffdManager.Engine.Loops;
using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>A page has been read out of its turn: lets its writers go, and notes it.</summary>
internal sealed class ReleasePageCommand(Snapshot snapshot, FrozenRegion region, ulong page) : LoopCommand
{
    private const long Backoff = 40_000;

    public override bool TryRun(FaultLoop loop, long now)
    {
        if (snapshot.IsOver || page < snapshot.ReadBelow)
        {
            // While it was put off the page's turn has come: whatever protects it now is somebody else's.
            return true;
        }

        if (FaultLoop.Release(snapshot, page, page + region.PageBytes) == Errno.EAGAIN)
        {
            DueAt = now + Backoff;
            return false;
        }

        snapshot.NoteRead(region, page, now);
        return true;
    }

    public override void Refuse() => snapshot.Fail(EngineErrorKind.State, Errno.ESHUTDOWN, "the manager stops");
}
