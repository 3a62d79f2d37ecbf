namespace UffdManager.Engine.Telemetry;

/// <summary>How an attempt to fetch ended.</summary>
public enum FetchOutcome
{
    /// <summary>The bytes came.</summary>
    Fetched,

    /// <summary>The source failed; it may be tried again.</summary>
    Failed,

    /// <summary>The bytes came too late: the range had moved, the session had ended, or the verdict was spoken.</summary>
    Discarded,
}
