namespace UffdManager.Control;

/// <summary>What the daemon knows of the pages of a region: each list has one number of pages per cell.</summary>
public sealed record RegionMapDto
{
    /// <summary>Session id.</summary>
    public required long Session { get; init; }

    /// <summary>First byte of the region.</summary>
    public required string Start { get; init; }

    /// <summary>Bytes.</summary>
    public required long Length { get; init; }

    /// <summary>Page size, bytes.</summary>
    public required long PageBytes { get; init; }

    /// <summary>In the whole region, pages.</summary>
    public required long Pages { get; init; }

    /// <summary>Number of cells.</summary>
    public required int Cells { get; init; }

    /// <summary>In each but the last, which may have fewer, pages.</summary>
    public required long PagesPerCell { get; init; }

    /// <summary>Never installed by the daemon, or given back where that means the source (or zeros) again, pages.</summary>
    public required IReadOnlyList<long> Absent { get; init; }

    /// <summary>Being fetched, pages.</summary>
    public required IReadOnlyList<long> InFlight { get; init; }

    /// <summary>Installed, or found present, pages.</summary>
    public required IReadOnlyList<long> Present { get; init; }

    /// <summary>Given back by the program: zeros from then on, whatever the source says, pages.</summary>
    public required IReadOnlyList<long> Removed { get; init; }

    /// <summary>Marked: an access gets SIGBUS, pages.</summary>
    public required IReadOnlyList<long> Poisoned { get; init; }

    /// <summary>Reserved; all zero, pages.</summary>
    public required IReadOnlyList<long> Evicted { get; init; }

    /// <summary>Pages written since they were write-protected; of a tracked region all that changed.</summary>
    public required IReadOnlyList<long> Dirty { get; init; }

    /// <summary>Of those in flight or put off: a thread waits for them, pages.</summary>
    public required IReadOnlyList<long> Waited { get; init; }
}
