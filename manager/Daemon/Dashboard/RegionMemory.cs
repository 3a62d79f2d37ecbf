namespace UffdManager.Daemon.Dashboard;

/// <summary>
/// A region and what its pages are. Each array has one number per cell, the pages of the cell in that state; an array without any page is
/// empty, and pages of a cell that no array counts are absent.
/// </summary>
internal sealed record RegionMemory
{
    /// <summary>Bytes.</summary>
    public required long Length { get; init; }

    /// <summary>Page size, bytes.</summary>
    public required long PageBytes { get; init; }

    /// <summary>missing, write_protect, minor.</summary>
    public required IReadOnlyList<string> Modes { get; init; }

    /// <summary>Its policy.</summary>
    public required string Policy { get; init; }

    /// <summary>Where contents come from, without the directories of a path.</summary>
    public required string Source { get; init; }

    /// <summary>Pages in the whole region.</summary>
    public required long Pages { get; init; }

    /// <summary>Number of cells; 0 when counting the region would have taken too long.</summary>
    public required int Cells { get; init; }

    /// <summary>Pages in each cell but the last, which may have fewer.</summary>
    public required long PagesPerCell { get; init; }

    /// <summary>Being fetched.</summary>
    public required IReadOnlyList<long> InFlight { get; init; }

    /// <summary>Installed, or found present.</summary>
    public required IReadOnlyList<long> Present { get; init; }

    /// <summary>Given back by the program.</summary>
    public required IReadOnlyList<long> Removed { get; init; }

    /// <summary>Marked: an access gets SIGBUS.</summary>
    public required IReadOnlyList<long> Poisoned { get; init; }

    /// <summary>Moved out by the manager.</summary>
    public required IReadOnlyList<long> Evicted { get; init; }
}
