namespace UffdManager.Control;

/// <summary>The tenants, by name.</summary>
public sealed record TenantListDto
{
    /// <summary>By name.</summary>
    public required IReadOnlyList<TenantDto> Tenants { get; init; }
}
