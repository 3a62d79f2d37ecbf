namespace UffdManager.Daemon.LiveSnapshots;

/// <summary>What it takes to look into the memory of other users' processes.</summary>
internal static class MemoryRights
{
    /// <summary>For whoever was refused because the daemon may not; the session goes on in any case.</summary>
    public const string Remedy = "the session goes on as before; the drop-in systemd/snapshots.conf gives the service CAP_DAC_READ_SEARCH";
}
