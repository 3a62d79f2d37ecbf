namespace UffdManager.Control;

/// <summary>How a session's changed pages are noted.</summary>
public sealed record TrackingDto
{
    /// <summary>Session id.</summary>
    public required long Session { get; init; }

    /// <summary>Since when.</summary>
    public required string Since { get; init; }

    /// <summary>Whether the kernel notes writes itself; else the first write of each page is a fault.</summary>
    public required bool Asynchronous { get; init; }

    /// <summary>Bytes of regions that are tracked.</summary>
    public required long TrackedBytes { get; init; }

    /// <summary>Bytes of regions of which changes are not noted.</summary>
    public required long UntrackedBytes { get; init; }
}
