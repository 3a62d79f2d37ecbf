namespace UffdManager.Control;

/// <summary>Whom a snapshot is for, among those who connect to its socket. Nothing given: everybody whom no other snapshot of the socket is for.</summary>
public sealed record SnapshotMatchDto
{
    /// <summary>Effective user ids.</summary>
    public IReadOnlyList<long>? Uids { get; init; }

    /// <summary>Cgroup paths, with everything below them.</summary>
    public IReadOnlyList<string>? Cgroups { get; init; }

    /// <summary>Processes.</summary>
    public IReadOnlyList<long>? Pids { get; init; }
}
