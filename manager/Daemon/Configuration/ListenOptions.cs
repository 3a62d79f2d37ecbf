namespace UffdManager.Daemon.Configuration;

/// <summary>The native front door's socket: section <c>listen</c>.</summary>
public sealed record ListenOptions
{
    /// <summary>Absolute path of the socket.</summary>
    public required string Socket { get; init; }

    /// <summary>Permission bits of the socket, 0 to 0777. Who may connect may ask for an open /dev/userfaultfd.</summary>
    public required uint Mode { get; init; }

    /// <summary>Group that owns the socket: a name of /etc/group or a number; null leaves the daemon's own.</summary>
    public string? Group { get; init; }

    /// <summary><see cref="Group"/> as a number.</summary>
    public uint? GroupId { get; init; }

    /// <summary>Connections that may wait to be accepted, 1 to 4096.</summary>
    public required int Backlog { get; init; }

    /// <summary>Open connections of all tenants together, 1 to 1048576.</summary>
    public required int MaxConnections { get; init; }

    /// <summary>Time within which a peer must send its first message.</summary>
    public required TimeSpan FirstMessageTimeout { get; init; }
}
