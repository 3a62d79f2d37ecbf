namespace UffdManager.Control;

/// <summary>Working sets.</summary>
public sealed record WorkingSetListDto
{
    /// <summary>By path, tenant and page size.</summary>
    public required IReadOnlyList<WorkingSetDto> WorkingSets { get; init; }

    /// <summary>Why some may be missing: where those of a tenant are kept does not answer; null when all are there.</summary>
    public required string? Problem { get; init; }
}
