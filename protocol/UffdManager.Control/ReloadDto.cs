namespace UffdManager.Control;

/// <summary>The outcome of a reload.</summary>
public sealed record ReloadDto
{
    /// <summary>When.</summary>
    public required string LoadedAt { get; init; }

    /// <summary>Tenants there are now.</summary>
    public required int Tenants { get; init; }

    /// <summary>Policies there are now.</summary>
    public required int Policies { get; init; }

    /// <summary>As of the check.</summary>
    public required IReadOnlyList<string> Warnings { get; init; }

    /// <summary>As of the check.</summary>
    public required IReadOnlyList<string> NeedsRestart { get; init; }

    /// <summary>Documents that were read.</summary>
    public required IReadOnlyList<string> Origins { get; init; }
}
