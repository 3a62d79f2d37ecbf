using UffdManager.Engine.Sessions;

namespace UffdManager.Engine.Loops;

/// <summary>Arms or lifts write protection over a range of any size.</summary>
internal sealed class WriteProtectCommand(Session session, ulong start, ulong length, bool protect) : SlicedCommand
{
    private readonly ulong _end = start + length;
    private ulong _cursor = start;

    protected override WriteProtectStep Step(FaultLoop loop, out EngineResult? failure) => loop.WriteProtect(session, ref _cursor, _end, protect, out failure);
}
