namespace UffdManager.Control;

/// <summary>A socket on which the daemon listens.</summary>
public sealed record SocketDto
{
    /// <summary>native, control or metrics.</summary>
    public required string Name { get; init; }

    /// <summary>A path, or a URL.</summary>
    public required string Address { get; init; }

    /// <summary>Whether the service manager made it.</summary>
    public required bool Inherited { get; init; }
}
