namespace UffdManager.Daemon.LiveSnapshots;

/// <summary>How a snapshot of a running client ended; a label of a metric.</summary>
internal enum LiveSnapshotEnd
{
    /// <summary>The image is there.</summary>
    Written,

    /// <summary>Whoever asked for it has changed his mind or hung up, or the daemon stops.</summary>
    Cancelled,

    /// <summary>The client gave back, unmapped, moved or replaced memory that was not saved yet.</summary>
    MemoryChanged,

    /// <summary>The client is gone.</summary>
    ClientGone,

    /// <summary>Writers had waited for too long in which nothing could be saved.</summary>
    Stalled,

    /// <summary>The file system of the image is full.</summary>
    NoSpace,

    /// <summary>A source, or the base, could not be read.</summary>
    SourceFailed,

    /// <summary>It did not come to the instant: memory that cannot be protected, or somebody else at work.</summary>
    Refused,

    /// <summary>Anything else.</summary>
    Failed,
}
