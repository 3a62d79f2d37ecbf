using UffdManager.Engine.Loops;
using UffdManager.Engine.Sessions;

namespace UffdManager.Engine.Snapshots;

/// <summary>Lets go of everything that is still protected for a snapshot.</summary>
/// <param name="session">Whose.</param>
/// <param name="snapshot">The snapshot that is over; null when it was an earlier manager's.</param>
internal sealed class ThawCommand(Session session, Snapshot? snapshot) : SlicedCommand
{
    private ulong _cursor;

    protected override WriteProtectStep Step(FaultLoop loop, out EngineResult? failure)
    {
        failure = null;
        return loop.Thaw(session, snapshot, ref _cursor);
    }
}
