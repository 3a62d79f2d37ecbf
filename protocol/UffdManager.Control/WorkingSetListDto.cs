namespace UffdManager.Control;

/// <summary>Working sets.</summary>
public sealed record WorkingSetListDto
{
    /// <summary>By path, tenant and page size.</summary>
    public required IReadOnlyList<WorkingSetDto> WorkingSets { get; init; }
}
