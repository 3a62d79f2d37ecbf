using System.Diagnostics.CodeAnalysis;

namespace UffdManager.Daemon.Configuration;

/// <summary>A socket for hand-overs: keys <c>socket</c>, <c>protocol</c>, <c>owner</c>, <c>mode</c> and <c>timeout</c> of a snapshot.</summary>
public sealed record SnapshotSocketOptions
{
    /// <summary>What is spoken where nothing else was said.</summary>
    public const string DefaultProtocol = "firecracker";

    /// <summary>Absolute path, of any length.</summary>
    public required string Path { get; init; }

    /// <summary>Name of the protocol by which VMMs hand memory over there; never null, whatever a document of an earlier build lacks.</summary>
    [AllowNull]
    public string Protocol { get; init => field = value ?? DefaultProtocol; } = DefaultProtocol;

    /// <summary>User that owns the socket; null for the daemon's own.</summary>
    public uint? Uid { get; init; }

    /// <summary>Group that owns the socket; null for the daemon's own.</summary>
    public uint? Gid { get; init; }

    /// <summary>Permission bits of the socket, 0 to 0777.</summary>
    public required uint Mode { get; init; }

    /// <summary>Time from a connection to the end of its message.</summary>
    public required TimeSpan Timeout { get; init; }
}
