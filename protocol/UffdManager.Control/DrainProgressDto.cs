namespace UffdManager.Control;

/// <summary>One line of a drain.</summary>
public sealed record DrainProgressDto
{
    /// <summary>When.</summary>
    public required string At { get; init; }

    /// <summary>Sessions left.</summary>
    public required long Sessions { get; init; }

    /// <summary>Sessions left, by tenant.</summary>
    public required IReadOnlyDictionary<string, long> Tenants { get; init; }

    /// <summary>Since draining began.</summary>
    public required double ElapsedSeconds { get; init; }

    /// <summary>Whether this is the last line.</summary>
    public required bool Done { get; init; }

    /// <summary>Of the last line: drained (none is left), timeout, ended (by DELETE), stopping (the daemon stops).</summary>
    public required string? Result { get; init; }
}
