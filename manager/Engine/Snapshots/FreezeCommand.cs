using UffdManager.Engine.Loops;

namespace UffdManager.Engine.Snapshots;

/// <summary>Protects everything; completes at the instant of the snapshot.</summary>
internal sealed class FreezeCommand(Snapshot snapshot) : SlicedCommand
{
    protected override WriteProtectStep Step(FaultLoop loop, out EngineResult? failure) => loop.Freeze(snapshot, out failure);
}
