namespace UffdManager.Engine.Telemetry;

/// <summary>How a fault ended. Every fault that was read ends in exactly one of these.</summary>
public enum FaultOutcome
{
    /// <summary>Contents were installed.</summary>
    Copied,

    /// <summary>Zeros were installed.</summary>
    Zeroed,

    /// <summary>A page of the page cache was mapped.</summary>
    Continued,

    /// <summary>The write protection was lifted.</summary>
    Unprotected,

    /// <summary>Somebody else had installed it; the waiters were woken.</summary>
    AlreadyPresent,

    /// <summary>The same page was already in flight or deferred; the end of that one wakes this one.</summary>
    Duplicate,

    /// <summary>The range is no longer there; the waiters were woken and find out for themselves.</summary>
    Stale,

    /// <summary>The page could not be had and was poisoned.</summary>
    Poisoned,

    /// <summary>The page could not be had and the client was killed.</summary>
    ClientKilled,

    /// <summary>The client was gone before its fault was resolved.</summary>
    ClientGone,

    /// <summary>A snapshot saves the page first; the end of that lets the writer go.</summary>
    Held,
}
