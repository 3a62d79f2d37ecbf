namespace UffdManager.Daemon.Telemetry.Exposition;

/// <summary>The types of metric families that this product exposes.</summary>
public enum FamilyKind
{
    /// <summary>A value that goes up and down.</summary>
    Gauge,

    /// <summary>A value that only goes up while the process lives.</summary>
    Counter,

    /// <summary>Counts of observations in cumulative buckets, with their sum.</summary>
    Histogram,

    /// <summary>The constant 1 with facts in its labels; its name ends in <c>_info</c>. A gauge where the format knows no such type.</summary>
    Info,
}
