using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <summary>One fault while it is being served; lives on the stack.</summary>
/// <param name="Session">Whose.</param>
/// <param name="Region">Where.</param>
/// <param name="Page">Address of its page, aligned to the region's page size.</param>
/// <param name="Flags">As the kernel gave them.</param>
/// <param name="Kind">The kind they say.</param>
/// <param name="State">State of the page before.</param>
/// <param name="ReadAt">When it was read, monotonic nanoseconds.</param>
/// <param name="Since">When the time began that its policy allows, in the time in which the loop has turned: nanoseconds.</param>
/// <param name="Attempts">Times it was deferred.</param>
internal readonly record struct FaultContext(
    Session Session,
    Region Region,
    ulong Page,
    UffdFaultFlags Flags,
    FaultKind Kind,
    PageState State,
    long ReadAt,
    long Since,
    int Attempts)
{
    public bool IsWrite => (Flags & UffdFaultFlags.Write) != 0;
}
