namespace UffdManager.Control;

/// <summary>Pages of a session that changed, by address.</summary>
public sealed record DirtyPagesDto
{
    /// <summary>Session id.</summary>
    public required long Session { get; init; }

    /// <summary>Neighbouring pages are one run.</summary>
    public required IReadOnlyList<DirtyRunDto> Runs { get; init; }

    /// <summary>For after, when there are more.</summary>
    public required string? Next { get; init; }
}
