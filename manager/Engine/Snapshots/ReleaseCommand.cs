using UffdManager.Engine.Loops;
using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>Pages have been read: notes it, and lets their writers go.</summary>
/// <param name="snapshot">Whose.</param>
/// <param name="region">Where.</param>
/// <param name="start">First byte.</param>
/// <param name="end">First byte after.</param>
/// <param name="isInTurn">Whether everything below has been read too.</param>
internal sealed class ReleaseCommand(Snapshot snapshot, FrozenRegion region, ulong start, ulong end, bool isInTurn) : LoopCommand
{
    private const long Backoff = 40_000;

    private bool _isNoted;

    public override bool TryRun(FaultLoop loop, long now)
    {
        if (!_isNoted)
        {
            _isNoted = true;
            if (isInTurn)
            {
                snapshot.ReadBelow = end;
            }
            else
            {
                snapshot.NoteRead(region, start);
            }
        }

        if (FaultLoop.Release(snapshot, region, start, end) == Errno.EAGAIN)
        {
            DueAt = now + Backoff;
            return false;
        }

        return true;
    }

    public override void Refuse() => snapshot.Fail(EngineErrorKind.State, Errno.ESHUTDOWN, "the manager stops");
}
