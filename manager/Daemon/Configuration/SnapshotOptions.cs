namespace UffdManager.Daemon.Configuration;

/// <summary>A snapshot whose memory VMs get through a socket: section <c>snapshots.NAME</c>.</summary>
public sealed record SnapshotOptions
{
    /// <summary>Memory file below one of the tenant's source directories.</summary>
    public required string Image { get; init; }

    /// <summary>Who is accounted.</summary>
    public required string Tenant { get; init; }

    /// <summary>Policy of the VMs' memory; empty for the tenant's default one.</summary>
    public required string Policy { get; init; }

    /// <summary>Where VMs connect. Several snapshots may share a socket; who connects is told apart by <see cref="Match"/>.</summary>
    public required SnapshotSocketOptions Socket { get; init; }

    /// <summary>Whose memory this is for, among those who can connect.</summary>
    public required SnapshotMatchOptions Match { get; init; }

    /// <summary>VMs that may live at a time; 0 leaves it to the tenant's limits.</summary>
    public required int MaxVms { get; init; }
}
