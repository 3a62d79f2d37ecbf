namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>What an earlier manager had to do with a connection.</summary>
internal enum FormerManager
{
    /// <summary>Nothing: this one has accepted it.</summary>
    None,

    /// <summary>It had accepted it, and left everything in it that came.</summary>
    HadAccepted,

    /// <summary>It had taken a part of its message out, with its userfaultfd.</summary>
    HadTaken,
}
