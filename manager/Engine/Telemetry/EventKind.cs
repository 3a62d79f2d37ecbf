namespace UffdManager.Engine.Telemetry;

/// <summary>Events of a userfaultfd besides faults.</summary>
public enum EventKind
{
    /// <summary>The process forked.</summary>
    Fork,

    /// <summary>A range moved.</summary>
    Remap,

    /// <summary>Pages were given back.</summary>
    Remove,

    /// <summary>A range was unmapped.</summary>
    Unmap,
}
