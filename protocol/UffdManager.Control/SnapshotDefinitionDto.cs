namespace UffdManager.Control;

/// <summary>A snapshot to serve.</summary>
public sealed record SnapshotDefinitionDto
{
    /// <summary>Its name; null for one that is free.</summary>
    public string? Name { get; init; }

    /// <summary>Memory file of the snapshot.</summary>
    public string? Image { get; init; }

    /// <summary>Who is accounted.</summary>
    public string? Tenant { get; init; }

    /// <summary>Policy of the VMs' memory; null for the tenant's default one.</summary>
    public string? Policy { get; init; }

    /// <summary>Absolute path of the socket.</summary>
    public string? Socket { get; init; }

    /// <summary>Protocol by which VMMs hand memory over there; null for <c>firecracker</c>.</summary>
    public string? Protocol { get; init; }

    /// <summary>Who owns the socket, USER:GROUP, USER or :GROUP; null for the daemon.</summary>
    public string? Owner { get; init; }

    /// <summary>Permission bits of the socket, octal; null for 0660.</summary>
    public string? Mode { get; init; }

    /// <summary>Time from a connection to the end of its message; null for 10.</summary>
    public double? TimeoutSeconds { get; init; }

    /// <summary>VMs that may live at a time; null or 0 leaves it to the tenant's limits.</summary>
    public long? MaxVms { get; init; }

    /// <summary>Whom it is for; null for everybody.</summary>
    public SnapshotMatchDto? Match { get; init; }
}
