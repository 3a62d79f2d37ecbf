namespace UffdManager.Daemon.Configuration;

/// <summary>The control socket: section <c>control</c>.</summary>
public sealed record ControlOptions
{
    /// <summary>Whether there is a control socket at all.</summary>
    public required bool Enabled { get; init; }

    /// <summary>Absolute path of the socket.</summary>
    public required string Socket { get; init; }

    /// <summary>Permission bits of the socket.</summary>
    public required uint Mode { get; init; }

    /// <summary>Name or number of the group that owns the socket; null leaves it to the daemon's own.</summary>
    public required string? Group { get; init; }

    /// <summary>Number of <see cref="Group"/>.</summary>
    public required uint? GroupId { get; init; }
}
