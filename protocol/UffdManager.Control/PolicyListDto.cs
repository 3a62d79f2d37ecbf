namespace UffdManager.Control;

/// <summary>The policies, by name.</summary>
public sealed record PolicyListDto
{
    /// <summary>By name.</summary>
    public required IReadOnlyList<PolicyDto> Policies { get; init; }
}
