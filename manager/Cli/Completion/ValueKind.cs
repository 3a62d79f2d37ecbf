namespace UffdManager.Cli.Completion;

/// <summary>What the value of an option or argument is, for those who complete it.</summary>
internal enum ValueKind
{
    /// <summary>Nothing to propose: durations, numbers.</summary>
    Free,

    /// <summary>One of a few words.</summary>
    Word,

    /// <summary>A file.</summary>
    File,

    /// <summary>Id of a session, asked from the manager.</summary>
    Session,

    /// <summary>Start of a region of the session before it, asked from the manager.</summary>
    Region,

    /// <summary>Name of a tenant, asked from the manager.</summary>
    Tenant,

    /// <summary>Name of a policy, asked from the manager.</summary>
    Policy,

    /// <summary>Name of an image, asked from the manager.</summary>
    Image,

    /// <summary>Name of a snapshot, asked from the manager.</summary>
    Snapshot,
}
