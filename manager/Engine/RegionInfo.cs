using UffdManager.Engine.Regions;
using UffdManager.Linux;

namespace UffdManager.Engine;

/// <summary>A region at one moment.</summary>
/// <param name="Start">First byte.</param>
/// <param name="Length">Bytes.</param>
/// <param name="PageBytes">Page size.</param>
/// <param name="Modes">What the kernel reports.</param>
/// <param name="Flags">What is special about it.</param>
/// <param name="Policy">Name of its policy.</param>
/// <param name="Source">Where contents come from.</param>
/// <param name="SourceOffset">Byte offset of the first byte in the source.</param>
public sealed record RegionInfo(
    ulong Start,
    ulong Length,
    ulong PageBytes,
    UffdRegisterModes Modes,
    RegionFlags Flags,
    string Policy,
    string Source,
    long SourceOffset);
