namespace UffdManager.Control;

/// <summary>A snapshot that is served, at one moment.</summary>
public sealed record SnapshotDto
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Where it comes from: <c>configuration</c> or <c>runtime</c>.</summary>
    public required string Origin { get; init; }

    /// <summary><c>listening</c> or <c>failed</c>.</summary>
    public required string State { get; init; }

    /// <summary>Why it is not served.</summary>
    public required string? Problem { get; init; }

    /// <summary>Memory file.</summary>
    public required string Image { get; init; }

    /// <summary>Who is accounted.</summary>
    public required string Tenant { get; init; }

    /// <summary>Policy; null is the tenant's default one.</summary>
    public required string? Policy { get; init; }

    /// <summary>Path of the socket.</summary>
    public required string Socket { get; init; }

    /// <summary>Protocol by which VMMs hand memory over there.</summary>
    public required string Protocol { get; init; }

    /// <summary>User that owns the socket; null is the daemon's.</summary>
    public required long? Uid { get; init; }

    /// <summary>Group that owns the socket; null is the daemon's.</summary>
    public required long? Gid { get; init; }

    /// <summary>Permission bits of the socket, octal.</summary>
    public required string Mode { get; init; }

    /// <summary>Time from a connection to the end of its message.</summary>
    public required double TimeoutSeconds { get; init; }

    /// <summary>VMs that may live at a time; 0 leaves it to the tenant's limits.</summary>
    public required long MaxVms { get; init; }

    /// <summary>Whom it is for.</summary>
    public required SnapshotMatchDto Match { get; init; }

    /// <summary>Sessions of its VMs.</summary>
    public required IReadOnlyList<long> Sessions { get; init; }

    /// <summary>VMs that are being taken over at this moment.</summary>
    public required long Attaching { get; init; }

    /// <summary>VMs taken over since the daemon started.</summary>
    public required long HandedOver { get; init; }

    /// <summary>VMs refused since then.</summary>
    public required long Refused { get; init; }
}
