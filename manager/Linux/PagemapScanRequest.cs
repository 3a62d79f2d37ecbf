namespace UffdManager.Linux;

/// <summary>What PAGEMAP_SCAN looks for: <c>((categories ^ Inverted) &amp; Required) == Required</c> and, if any, one of AnyOf.</summary>
public readonly record struct PagemapScanRequest
{
    /// <summary>First byte, page aligned.</summary>
    public ulong Start { get; init; }

    /// <summary>The byte after the last.</summary>
    public ulong End { get; init; }

    /// <summary>What to do besides looking.</summary>
    public PagemapScanFlags Flags { get; init; }

    /// <summary>Stop after this many matching pages; 0 does not stop.</summary>
    public ulong MaxPages { get; init; }

    /// <summary>Categories whose absence counts as their presence.</summary>
    public PageCategories Inverted { get; init; }

    /// <summary>All of these must hold.</summary>
    public PageCategories Required { get; init; }

    /// <summary>At least one of these must hold, unless empty.</summary>
    public PageCategories AnyOf { get; init; }

    /// <summary>What the answer tells of each page.</summary>
    public PageCategories Returned { get; init; }
}
