namespace UffdManager.Control;

/// <summary>A session at one moment.</summary>
public sealed record SessionDto
{
    /// <summary>Unique, never reused.</summary>
    public required long Id { get; init; }

    /// <summary>Process in the daemon's pid namespace; 0 for a forked child that is not yet identified.</summary>
    public required int Pid { get; init; }

    /// <summary>Name of the process (/proc/PID/comm); null when it cannot be read.</summary>
    public required string? Command { get; init; }

    /// <summary>Who is accounted.</summary>
    public required string Tenant { get; init; }

    /// <summary>What the client calls itself.</summary>
    public required string Label { get; init; }

    /// <summary>adopting (silent since it was taken over from an earlier manager), serving, condemned (its process was killed and is not gone yet), ended.</summary>
    public required string State { get; init; }

    /// <summary>Policy of regions that name none.</summary>
    public required string Policy { get; init; }

    /// <summary>Counts the reloads that changed the policy; live sessions keep the one they have.</summary>
    public required int PolicyVersion { get; init; }

    /// <summary>Session that it was forked from.</summary>
    public required long? Parent { get; init; }

    /// <summary>Whether the client's side keeps a duplicate of the descriptor.</summary>
    public required bool Keeper { get; init; }

    /// <summary>Features of userfaultfd that are enabled.</summary>
    public required IReadOnlyList<string> Features { get; init; }

    /// <summary>Fault loop that serves it.</summary>
    public required int Loop { get; init; }

    /// <summary>Of the session.</summary>
    public required string StartedAt { get; init; }

    /// <summary>Since then.</summary>
    public required double UptimeSeconds { get; init; }

    /// <summary>Since when its changed pages are noted; null when they are not.</summary>
    public required string? TrackedSince { get; init; }

    /// <summary>What an operator has under way with it, in words, such as a snapshot; null for nothing.</summary>
    public required string? Work { get; init; }

    /// <summary>Registered regions.</summary>
    public required long Regions { get; init; }

    /// <summary>Bytes in them.</summary>
    public required long RegisteredBytes { get; init; }

    /// <summary>Bytes installed or found present, less those given back.</summary>
    public required long ResidentBytes { get; init; }

    /// <summary>Counter: faults that were read.</summary>
    public required long Faults { get; init; }

    /// <summary>Counter: installed with contents, bytes.</summary>
    public required long CopiedBytes { get; init; }

    /// <summary>Counter: installed as zeros, bytes.</summary>
    public required long ZeroedBytes { get; init; }

    /// <summary>Counter: times that a fault had to wait for another try.</summary>
    public required long Deferrals { get; init; }

    /// <summary>Counter, pages.</summary>
    public required long PoisonedPages { get; init; }

    /// <summary>Base pages being fetched.</summary>
    public required long PagesInFlight { get; init; }

    /// <summary>Faults that wait for another try at this moment.</summary>
    public required long Deferred { get; init; }

    /// <summary>Service times; null when the daemon measures 16384 other sessions already.</summary>
    public required LatencyDto? Latency { get; init; }
}
