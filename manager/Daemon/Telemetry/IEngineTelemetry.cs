using UffdManager.Daemon.FrontDoors;
using UffdManager.Engine.Images;
using UffdManager.Engine.Telemetry;

namespace UffdManager.Daemon.Telemetry;

/// <summary>What telemetry reads of the engine; a seam, so that exact numbers can be put through the whole pipeline.</summary>
internal interface IEngineTelemetry
{
    /// <summary>The present numbers of every tenant label.</summary>
    IReadOnlyList<TenantTotals> Tenants();

    /// <summary>The present numbers of every fault loop.</summary>
    IReadOnlyList<LoopSnapshot> Loops();

    /// <summary>The present numbers of the cache of images.</summary>
    CacheReading ImageCache();

    /// <summary>The present numbers of the objects that clients map, by tenant label.</summary>
    MappedReading MappedObjects();

    /// <summary>Takes finished faults out of the rings. One caller at a time.</summary>
    /// <returns>How many were written; fewer than asked for = no more at present.</returns>
    int DrainFaultSamples(Span<FaultSample> into);

    /// <summary>Name of the tenant that a sample names by index.</summary>
    string TenantName(int index);
}
