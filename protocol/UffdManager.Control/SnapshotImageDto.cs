namespace UffdManager.Control;

/// <summary>What lies beside an image: what is where in it.</summary>
public sealed record SnapshotImageDto
{
    /// <summary>Of this document: 1.</summary>
    public required int Version { get; init; }

    /// <summary>Session id.</summary>
    public required long Session { get; init; }

    /// <summary>Its process.</summary>
    public required int Pid { get; init; }

    /// <summary>Its tenant.</summary>
    public required string Tenant { get; init; }

    /// <summary>The instant.</summary>
    public required string TakenAt { get; init; }

    /// <summary>Size of the image, bytes.</summary>
    public required long Bytes { get; init; }

    /// <summary>What a diff is to be laid over; null for a full image.</summary>
    public required string? Base { get; init; }

    /// <summary>By what the regions lie in it: <c>source</c>, each page at its offset in the file that all of them show; <c>address</c>, one region behind the other.</summary>
    public required string Layout { get; init; }

    /// <summary>By address.</summary>
    public required IReadOnlyList<SnapshotRegionDto> Regions { get; init; }
}
