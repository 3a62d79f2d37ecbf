namespace UffdManager.Daemon.Supervision;

/// <summary>What is known of the service manager's descriptor store.</summary>
internal enum StoreState
{
    /// <summary>There is none, or it keeps nothing.</summary>
    Absent,

    /// <summary>It is being asked.</summary>
    Unknown,

    /// <summary>It keeps what it is given: this was seen.</summary>
    Keeps,
}
