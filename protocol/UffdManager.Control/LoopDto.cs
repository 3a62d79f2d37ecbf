namespace UffdManager.Control;

/// <summary>A fault loop at one moment.</summary>
public sealed record LoopDto
{
    /// <summary>Which, from 0.</summary>
    public required int Index { get; init; }

    /// <summary>Sessions that it serves.</summary>
    public required long Sessions { get; init; }

    /// <summary>Part of the last full second in which it did not sleep, 0 to 1.</summary>
    public required double BusyRatio { get; init; }

    /// <summary>Returns from epoll with something to do, in the last full second, per second.</summary>
    public required double WakeupsPerSecond { get; init; }

    /// <summary>Native memory reserved for page tables, bytes.</summary>
    public required long PageTableBytes { get; init; }

    /// <summary>Service times that found the ring full.</summary>
    public required long SamplesDropped { get; init; }
}
