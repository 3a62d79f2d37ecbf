namespace UffdManager.Control;

/// <summary>A fault loop in one interval.</summary>
public sealed record TopLoopDto
{
    /// <summary>Index.</summary>
    public required int Index { get; init; }

    /// <summary>Sessions.</summary>
    public required long Sessions { get; init; }

    /// <summary>Part of the interval in which it did not sleep, 0 to 1.</summary>
    public required double BusyRatio { get; init; }
}
