namespace UffdManager.Daemon.Configuration;

/// <summary>Who gets a snapshot: key <c>match</c> of a snapshot. Nothing given: everybody who can connect and whom no other snapshot of the socket matches.</summary>
public sealed record SnapshotMatchOptions
{
    /// <summary>Effective user ids.</summary>
    public required IReadOnlyList<uint> Uids { get; init; }

    /// <summary>Absolute cgroup paths, with everything below them.</summary>
    public required IReadOnlyList<string> Cgroups { get; init; }

    /// <summary>Whether everybody matches.</summary>
    public bool IsEverybody => Uids.Count == 0 && Cgroups.Count == 0;
}
