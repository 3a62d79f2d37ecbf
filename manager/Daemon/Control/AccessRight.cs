namespace UffdManager.Daemon.Control;

/// <summary>What a peer of the control socket may do; each includes those before it.</summary>
internal enum AccessRight
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>Look.</summary>
    Read,

    /// <summary>Everything.</summary>
    Admin,
}
