using System.Diagnostics.Metrics;
using UffdManager.Daemon.FrontDoors;
using UffdManager.Engine.Images;

namespace UffdManager.Daemon.Telemetry;

/// <summary>The instruments about the memory for images: the cache, and what clients map. They read when they are collected.</summary>
internal sealed class ImageCacheMetrics
{
    public ImageCacheMetrics(Meter meter, EngineReadings readings)
    {
        meter.CreateObservableGauge(
            Instruments.ImageCacheLimit.Name, () => readings.ImageCache.LimitBytes, Instruments.ImageCacheLimit.Unit, Instruments.ImageCacheLimit.Description);
        PerTenant(Instruments.ImageCacheBytes, tenant => tenant.Bytes);
        PerTenant(Instruments.ImageCacheMisses, tenant => tenant.Misses);
        PerTenant(Instruments.ImageCacheEvictions, tenant => tenant.Evictions);
        Counter(Instruments.ImageCacheHits, reading => reading.Hits);
        Counter(Instruments.ImageCacheBypasses, reading => reading.Bypasses);
        meter.CreateObservableGauge(
            Instruments.MappedLimit.Name, () => readings.MappedObjects.LimitBytes, Instruments.MappedLimit.Unit, Instruments.MappedLimit.Description);
        Mapped(Instruments.MappedObjects, share => share.Objects);
        Mapped(Instruments.MappedSize, share => share.SizeBytes);
        Mapped(Instruments.MappedMemory, share => share.MemoryBytes);

        void Counter(InstrumentDefinition definition, Func<CacheReading, long> value) =>
            meter.CreateObservableCounter(definition.Name, () => value(readings.ImageCache), definition.Unit, definition.Description);

        void Mapped(InstrumentDefinition definition, Func<MappedShare, long> value)
        {
            TagSets tags = new(definition);
            meter.CreateObservableGauge(
                definition.Name,
                () => readings.MappedObjects.Shares.Select(share => new Measurement<long>(value(share), tags.For(share.Tenant)[0])),
                definition.Unit,
                definition.Description);
        }

        void PerTenant(InstrumentDefinition definition, Func<CacheTenantReading, long> value)
        {
            TagSets tags = new(definition);
            IEnumerable<Measurement<long>> Read() =>
                readings.ImageCache.Tenants.Select(tenant => new Measurement<long>(value(tenant), tags.For(tenant.Tenant)[0]));
            if (definition.Kind == InstrumentKind.Counter)
                meter.CreateObservableCounter(definition.Name, Read, definition.Unit, definition.Description);
            else
                meter.CreateObservableGauge(definition.Name, Read, definition.Unit, definition.Description);
        }
    }
}
