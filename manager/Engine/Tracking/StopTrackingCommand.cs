using UffdManager.Engine.Loops;
using UffdManager.Engine.Sessions;

namespace UffdManager.Engine.Tracking;

/// <summary>Lifts the protection of every tracked region.</summary>
internal sealed class StopTrackingCommand(Session session) : SlicedCommand
{
    private ulong _cursor;

    protected override WriteProtectStep Step(FaultLoop loop, out EngineResult? failure) => loop.StopTracking(session, ref _cursor, out failure);
}
