namespace UffdManager.Control;

/// <summary>Sums over all tenants: gauges of this moment, counters since the start of the process.</summary>
public sealed record TotalsDto
{
    /// <summary>Live sessions.</summary>
    public required long Sessions { get; init; }

    /// <summary>Registered regions.</summary>
    public required long Regions { get; init; }

    /// <summary>Bytes in them.</summary>
    public required long RegisteredBytes { get; init; }

    /// <summary>Bytes installed or found present, less those given back.</summary>
    public required long ResidentBytes { get; init; }

    /// <summary>Page tables of all sessions, bytes.</summary>
    public required long PageTableBytes { get; init; }

    /// <summary>Base pages being fetched.</summary>
    public required long PagesInFlight { get; init; }

    /// <summary>Fetches from slow sources, queued or running.</summary>
    public required long Fetches { get; init; }

    /// <summary>Those that wait for a thread.</summary>
    public required long FetchesWaiting { get; init; }

    /// <summary>Counter: faults that are over.</summary>
    public required long Faults { get; init; }

    /// <summary>Counter: installed with contents, bytes.</summary>
    public required long CopiedBytes { get; init; }

    /// <summary>Counter: installed as zeros, bytes.</summary>
    public required long ZeroedBytes { get; init; }

    /// <summary>Counter, pages.</summary>
    public required long PoisonedPages { get; init; }

    /// <summary>Counter: clients killed because a page could not be had.</summary>
    public required long KilledClients { get; init; }

    /// <summary>Service times of all faults.</summary>
    public required LatencyDto Latency { get; init; }
}
