namespace UffdManager.Engine.Telemetry;

/// <summary>What the kernel asked for.</summary>
public enum FaultKind
{
    /// <summary>The page is not there.</summary>
    Missing,

    /// <summary>The page is write-protected and was written.</summary>
    WriteProtect,

    /// <summary>The page is in the page cache and not mapped.</summary>
    Minor,
}
