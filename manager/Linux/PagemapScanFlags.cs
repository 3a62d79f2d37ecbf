namespace UffdManager.Linux;

/// <summary>Flags of PAGEMAP_SCAN.</summary>
[Flags]
public enum PagemapScanFlags : ulong
{
    /// <summary>Only look.</summary>
    None = 0,

    /// <summary>Protect what matched, atomically with the look.</summary>
    [CName("PM_SCAN_WP_MATCHING")] ProtectMatching = 1,

    /// <summary>EPERM when a page is not registered for asynchronous write protection.</summary>
    [CName("PM_SCAN_CHECK_WPASYNC")] CheckAsync = 2,
}
