namespace UffdManager.Control;

/// <summary>A part of the sessions, by id.</summary>
public sealed record SessionListDto
{
    /// <summary>By id.</summary>
    public required IReadOnlyList<SessionDto> Sessions { get; init; }

    /// <summary>For after, when there are more.</summary>
    public required long? Next { get; init; }
}
