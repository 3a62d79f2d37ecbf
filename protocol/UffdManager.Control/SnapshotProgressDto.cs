namespace UffdManager.Control;

/// <summary>How far a snapshot of a session is.</summary>
public sealed record SnapshotProgressDto
{
    /// <summary>Session id.</summary>
    public required long Session { get; init; }

    /// <summary>Path of the image.</summary>
    public required string Out { get; init; }

    /// <summary>The instant whose memory it holds; null before.</summary>
    public required string? TakenAt { get; init; }

    /// <summary>Bytes of all regions; 0 before the instant.</summary>
    public required long TotalBytes { get; init; }

    /// <summary>Bytes looked at.</summary>
    public required long DoneBytes { get; init; }

    /// <summary>Bytes written to the image.</summary>
    public required long WrittenBytes { get; init; }

    /// <summary>Pages saved out of their turn, because somebody waited to write them.</summary>
    public required long SavedPages { get; init; }

    /// <summary>Time to protect everything.</summary>
    public required double ArmSeconds { get; init; }

    /// <summary>Last part of it, in which writers of protected pages wait.</summary>
    public required double HoldSeconds { get; init; }

    /// <summary>Time in which the file was slower than the reading.</summary>
    public required double ThrottledSeconds { get; init; }

    /// <summary>Since it was asked for.</summary>
    public required double ElapsedSeconds { get; init; }

    /// <summary>Whether it is over.</summary>
    public required bool Done { get; init; }

    /// <summary>When it is over: written, failed.</summary>
    public required string? Result { get; init; }

    /// <summary>Why it failed.</summary>
    public required string? Reason { get; init; }
}
