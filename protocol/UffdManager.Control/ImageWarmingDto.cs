namespace UffdManager.Control;

/// <summary>One line of the warming of an image.</summary>
public sealed record ImageWarmingDto
{
    /// <summary>When.</summary>
    public required string At { get; init; }

    /// <summary>Bytes of the range that are looked after.</summary>
    public required long Done { get; init; }

    /// <summary>Bytes of the range.</summary>
    public required long Total { get; init; }

    /// <summary>Bytes of the image in the cache.</summary>
    public required long CachedBytes { get; init; }

    /// <summary>Since it began.</summary>
    public required double ElapsedSeconds { get; init; }

    /// <summary>Whether this is the last line.</summary>
    public required bool Finished { get; init; }

    /// <summary>Of the last line: warm, full (the cache has no room left), failed, stopping (the daemon stops).</summary>
    public required string? Result { get; init; }

    /// <summary>With failed: why.</summary>
    public required string? Problem { get; init; }
}
