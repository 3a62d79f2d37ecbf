namespace UffdManager.Control;

/// <summary>What is known of the pages that the runs of one tenant touch of one source, and what that was worth.</summary>
public sealed record WorkingSetDto
{
    /// <summary>Whose runs.</summary>
    public required string Tenant { get; init; }

    /// <summary>Where the file is, or the newest one of an image.</summary>
    public required string? Path { get; init; }

    /// <summary>Size of the pages that were touched, bytes.</summary>
    public required int PageBytes { get; init; }

    /// <summary>What some run touched, bytes.</summary>
    public required long KnownBytes { get; init; }

    /// <summary>What the next run finds installed, bytes.</summary>
    public required long ReplayedBytes { get; init; }

    /// <summary>Runs that it was learnt from, those under earlier daemons too.</summary>
    public required int Runs { get; init; }

    /// <summary>The longest that a run was observed, seconds.</summary>
    public required double ObservedSeconds { get; init; }

    /// <summary>replay, or record.</summary>
    public required string NextRun { get; init; }

    /// <summary>Runs under way.</summary>
    public required int LiveRuns { get; init; }

    /// <summary>How the last run went; null while none has ended.</summary>
    public required string? LastOutcome { get; init; }

    /// <summary>Runs by how they went.</summary>
    public required IReadOnlyDictionary<string, long> Outcomes { get; init; }

    /// <summary>Installed ahead of the faults.</summary>
    public required long PrefetchedBytes { get; init; }

    /// <summary>Of those, touched.</summary>
    public required long UsedBytes { get; init; }

    /// <summary>Of those, not touched.</summary>
    public required long WastedBytes { get; init; }

    /// <summary>Planned, but their faults were quicker.</summary>
    public required long LateBytes { get; init; }

    /// <summary>Touched and not planned.</summary>
    public required long MissedBytes { get; init; }
}
