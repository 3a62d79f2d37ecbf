using UffdManager.Daemon.FrontDoors;
using UffdManager.Engine.Images;
using UffdManager.Engine.Telemetry;

namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// One reading of the engine for all the instruments of a collection, so that the series of one scrape belong together and the
/// engine is asked once. Any thread.
/// </summary>
internal sealed class EngineReadings(IEngineTelemetry engine, TimeProvider time)
{
    /// <summary>A scrape refreshes by itself; this bounds the age for collections that nobody announces, those of the OTLP reader.</summary>
    private static readonly TimeSpan MaxAge = TimeSpan.FromMilliseconds(200);

    private readonly Lock _lock = new();
    private IReadOnlyList<TenantTotals> _tenants = [];
    private IReadOnlyList<LoopSnapshot> _loops = [];
    private CacheReading _imageCache = new(0, 0, 0, 0, []);
    private MappedReading _mapped = new(0, []);
    private long _readAt;
    private bool _fresh;

    public IReadOnlyList<TenantTotals> Tenants => Read().Tenants;

    public IReadOnlyList<LoopSnapshot> Loops => Read().Loops;

    public CacheReading ImageCache => Read().ImageCache;

    public MappedReading MappedObjects => Read().Mapped;

    /// <summary>Makes the next access read the engine anew.</summary>
    public void Invalidate()
    {
        lock (_lock)
        {
            _fresh = false;
        }
    }

    private (IReadOnlyList<TenantTotals> Tenants, IReadOnlyList<LoopSnapshot> Loops, CacheReading ImageCache, MappedReading Mapped) Read()
    {
        lock (_lock)
        {
            if (!_fresh || time.GetElapsedTime(_readAt) > MaxAge)
            {
                _tenants = engine.Tenants();
                _loops = engine.Loops();
                _imageCache = engine.ImageCache();
                _mapped = engine.MappedObjects();
                _readAt = time.GetTimestamp();
                _fresh = true;
            }

            return (_tenants, _loops, _imageCache, _mapped);
        }
    }
}
