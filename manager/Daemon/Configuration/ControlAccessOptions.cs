namespace UffdManager.Daemon.Configuration;

/// <summary>Who may do what over the control socket, beside root and the daemon's own user: section <c>control</c>. A reload changes it.</summary>
public sealed record ControlAccessOptions
{
    /// <summary>Users who may look.</summary>
    public required IReadOnlyList<uint> ReadUids { get; init; }

    /// <summary>Groups whose members may look, by primary or supplementary group.</summary>
    public required IReadOnlyList<uint> ReadGids { get; init; }

    /// <summary>Users who may do everything.</summary>
    public required IReadOnlyList<uint> AdminUids { get; init; }

    /// <summary>Groups whose members may do everything, by primary or supplementary group.</summary>
    public required IReadOnlyList<uint> AdminGids { get; init; }
}
