using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Tenancy;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>A snapshot that is being served. Belongs to the front door's thread.</summary>
internal sealed class SnapshotEntry(string name, SnapshotOptions options)
{
    public string Name { get; } = name;

    public SnapshotOptions Options { get; } = options;

    /// <summary>VMs that are being taken over at this moment.</summary>
    public int Attaching { get; set; }

    /// <summary>How well it fits a peer: 0 not at all, 1 as one for everybody, more the more closely it was meant.</summary>
    public int Fits(PeerIdentity peer)
    {
        SnapshotMatchOptions match = Options.Match;
        if (match.IsEverybody)
            return 1;

        // "/a" is above "/a/b", not above "/ab".
        int cgroup = match.Cgroups.Select(path => path.TrimEnd('/'))
            .Where(path => peer.Cgroup is { } own && own.StartsWith(path, StringComparison.Ordinal) && (own.Length == path.Length || own[path.Length] == '/'))
            .Select(path => path.Length)
            .DefaultIfEmpty(-1)
            .Max();
        return cgroup >= 0 ? 3 + cgroup : match.Uids.Contains(peer.Uid) ? 2 : 0;
    }
}
