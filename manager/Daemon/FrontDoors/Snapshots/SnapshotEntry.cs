using System.Runtime.CompilerServices;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Tenancy;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>A snapshot that is being served. Belongs to the front door's thread.</summary>
/// <param name="name">Its name.</param>
/// <param name="options">How it is served.</param>
/// <param name="isConfigured">Whether the configuration has it; false: it was made at run time.</param>
/// <param name="former">The one whose place it takes; null for none.</param>
internal sealed class SnapshotEntry(string name, SnapshotOptions options, bool isConfigured, SnapshotEntry? former = null)
{
    // Above any length of a cgroup's path.
    private const int OneProcess = 1 << 16;

    // One count for a name: what is being taken over when the configuration changes counts towards the limit of the new one.
    private readonly StrongBox<int> _attaching = former?._attaching ?? new StrongBox<int>();

    public string Name { get; } = name;

    public SnapshotOptions Options { get; } = options;

    /// <summary>Whether the configuration has it; false: it was made at run time.</summary>
    public bool IsConfigured { get; } = isConfigured;

    /// <summary>Why it is not served; null if it is.</summary>
    public string? Problem { get; set; }

    /// <summary>VMs that are being taken over at this moment.</summary>
    public int Attaching
    {
        get => _attaching.Value;
        set => _attaching.Value = value;
    }

    /// <summary>VMs taken over since the manager started.</summary>
    public long HandedOver { get; set; }

    /// <summary>VMs refused since then.</summary>
    public long Refused { get; set; }

    public SnapshotView View => new(Name, Options, IsConfigured, Problem, Attaching, HandedOver, Refused);

    /// <summary>How well it fits a peer: 0 not at all, 1 as one for everybody, more the more closely it was meant.</summary>
    /// <param name="peer">The peer as the kernel tells it.</param>
    /// <param name="startTime">Of its process.</param>
    public int Fits(PeerIdentity peer, ulong startTime)
    {
        SnapshotMatchOptions match = Options.Match;
        if (match.IsEverybody)
            return 1;
        if (match.Processes.Contains(new SnapshotProcess(peer.Pid, startTime)))
            return OneProcess;

        // "/a" is above "/a/b", not above "/ab".
        int cgroup = match.Cgroups.Select(path => path.TrimEnd('/'))
            .Where(path => peer.Cgroup is { } own && own.StartsWith(path, StringComparison.Ordinal) && (own.Length == path.Length || own[path.Length] == '/'))
            .Select(path => path.Length)
            .DefaultIfEmpty(-1)
            .Max();
        return cgroup >= 0 ? 3 + cgroup : match.Uids.Contains(peer.Uid) ? 2 : 0;
    }

    /// <summary>Whether another definition says the same; lists are compared by what is in them.</summary>
    public bool IsSameAs(SnapshotOptions other) =>
        Options.Match.Uids.SequenceEqual(other.Match.Uids)
        && Options.Match.Cgroups.SequenceEqual(other.Match.Cgroups)
        && Options.Match.Processes.SequenceEqual(other.Match.Processes)
        && (Options with { Match = other.Match }) == other;
}
