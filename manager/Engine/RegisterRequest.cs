using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine;

/// <summary>A range to put under the manager.</summary>
public sealed record RegisterRequest
{
    /// <summary>First byte, page aligned.</summary>
    public required ulong Start { get; init; }

    /// <summary>Bytes, a multiple of the page size.</summary>
    public required ulong Length { get; init; }

    /// <summary>What the kernel reports.</summary>
    public required UffdRegisterModes Modes { get; init; }

    /// <summary>How faults are resolved.</summary>
    public required Policy Policy { get; init; }

    /// <summary>Where contents come from; null for the policy's. The region takes a reference of its own.</summary>
    public PageSource? Source { get; init; }

    /// <summary>Byte offset of the first byte in the source or image, page aligned.</summary>
    public long SourceOffset { get; init; }

    /// <summary>The shared image that the client mapped at the range; the region takes a reference of its own.</summary>
    public SharedImage? Image { get; init; }

    /// <summary>What is special about it.</summary>
    public RegionFlags Flags { get; init; }
}
