using UffdManager.Engine.Sources;

namespace UffdManager.Engine;

/// <summary>A range that the client had registered on its userfaultfd itself before it handed it over.</summary>
public sealed record RegisteredRange
{
    /// <summary>First byte, aligned to <see cref="PageBytes"/>.</summary>
    public required ulong Start { get; init; }

    /// <summary>Bytes, a multiple of <see cref="PageBytes"/>.</summary>
    public required ulong Length { get; init; }

    /// <summary>Bytes per page as the client says: the base page, or the huge page of a hugetlb mapping up to 2 MiB. Refused if the kernel knows another one.</summary>
    public required ulong PageBytes { get; init; }

    /// <summary>Where contents come from. Borrowed until the call is complete; the region takes a reference of its own.</summary>
    public required PageSource Source { get; init; }

    /// <summary>Byte offset of the first byte in the source, aligned to <see cref="PageBytes"/>.</summary>
    public required long SourceOffset { get; init; }
}
