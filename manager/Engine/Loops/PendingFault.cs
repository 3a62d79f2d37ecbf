using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <summary>A fault that was read and waits for the events of the same batch to be applied first.</summary>
internal struct PendingFault
{
    public ulong Address;
    public UffdFaultFlags Flags;
    public uint ThreadId;
}
