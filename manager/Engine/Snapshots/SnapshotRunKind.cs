namespace UffdManager.Engine.Snapshots;

/// <summary>Where the contents of pages are.</summary>
internal enum SnapshotRunKind
{
    /// <summary>In the client.</summary>
    Memory,

    /// <summary>In the source, unless the client has them without our knowledge.</summary>
    Source,

    /// <summary>Zeros, unless the client has something there without our knowledge.</summary>
    Untouched,

    /// <summary>Nowhere.</summary>
    Poisoned,
}
