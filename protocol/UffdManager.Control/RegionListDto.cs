namespace UffdManager.Control;

/// <summary>A part of the regions.</summary>
public sealed record RegionListDto
{
    /// <summary>Regions.</summary>
    public required IReadOnlyList<RegionDto> Regions { get; init; }

    /// <summary>For after, when there are more.</summary>
    public required string? Next { get; init; }
}
