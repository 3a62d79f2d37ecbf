namespace UffdManager.Control;

/// <summary>A drain that is under way.</summary>
public sealed record DrainStateDto
{
    /// <summary>When draining began.</summary>
    public required string Since { get; init; }

    /// <summary>Who asked for it.</summary>
    public required string By { get; init; }

    /// <summary>Sessions left.</summary>
    public required long Sessions { get; init; }
}
