using System.Diagnostics.CodeAnalysis;

namespace UffdManager.Daemon.Configuration;

/// <summary>Who gets a snapshot: key <c>match</c> of a snapshot. Nothing given: everybody who can connect and whom no other snapshot of the socket matches.</summary>
public sealed record SnapshotMatchOptions
{
    /// <summary>Effective user ids.</summary>
    public required IReadOnlyList<uint> Uids { get; init; }

    /// <summary>Absolute cgroup paths, with everything below them.</summary>
    public required IReadOnlyList<string> Cgroups { get; init; }

    /// <summary>Processes that were registered in advance; the configuration has none.</summary>
    [AllowNull]
    public IReadOnlyList<SnapshotProcess> Processes { get; init => field = value ?? []; } = [];

    /// <summary>Whether everybody matches.</summary>
    public bool IsEverybody => Uids.Count == 0 && Cgroups.Count == 0 && Processes.Count == 0;

    /// <summary>What it claims at its socket, in words; no other snapshot there may claim the same.</summary>
    public IEnumerable<string> Claims => IsEverybody
        ? ["everybody"]
        : Uids.Select(uid => $"uid {uid}").Concat(Cgroups.Select(cgroup => $"cgroup {cgroup.TrimEnd('/')}")).Concat(Processes.Select(process => $"pid {process.Pid}"));
}
