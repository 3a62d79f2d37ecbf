using UffdManager.Daemon.FrontDoors;
using UffdManager.Engine;
using UffdManager.Engine.Images;
using UffdManager.Engine.Telemetry;

namespace UffdManager.Daemon.Telemetry;

/// <summary>Reads the fault engine.</summary>
internal sealed class EngineTelemetry(FaultEngine engine, TenantLabels labels, ImageCatalog mapped) : IEngineTelemetry
{
    /// <inheritdoc/>
    public IReadOnlyList<TenantTotals> Tenants()
    {
        var totals = new Dictionary<string, TenantTotals>(StringComparer.Ordinal);
        foreach (var tenant in engine.Counters())
        {
            string label = labels.Of(tenant.Tenant);
            if (!totals.TryGetValue(label, out var total))
            {
                totals[label] = total = new(label);
            }

            total.Add(tenant);
        }

        return [.. totals.Values.OrderBy(t => t.Label, StringComparer.Ordinal)];
    }

    /// <inheritdoc/>
    public IReadOnlyList<LoopSnapshot> Loops() => engine.Loops();

    /// <inheritdoc/>
    public CacheReading ImageCache()
    {
        CacheReading reading = engine.ImageCache.Read();
        return reading with
        {
            Tenants =
            [
                .. reading.Tenants.GroupBy(tenant => labels.Of(tenant.Tenant), StringComparer.Ordinal).OrderBy(group => group.Key, StringComparer.Ordinal)
                    .Select(group => new CacheTenantReading(
                        group.Key, group.Sum(tenant => tenant.Bytes), group.Sum(tenant => tenant.Misses), group.Sum(tenant => tenant.Evictions))),
            ],
        };
    }

    /// <inheritdoc/>
    public MappedReading MappedObjects()
    {
        MappedReading reading = mapped.Read();
        return reading with { Shares = reading.Tenants(labels.Of) };
    }

    /// <inheritdoc/>
    public int DrainFaultSamples(Span<FaultSample> into) => engine.DrainFaultSamples(into);

    /// <inheritdoc/>
    public string TenantName(int index) => engine.TenantName(index);
}
