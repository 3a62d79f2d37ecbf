using UffdManager.Daemon.FrontDoors;
using UffdManager.Daemon.Telemetry;
using UffdManager.Engine.Images;
using UffdManager.Engine.Telemetry;

namespace UffdManager.Daemon.Tests.Telemetry;

/// <summary>An engine that has counted exactly what the test says.</summary>
internal sealed class TestEngine : IEngineTelemetry
{
    private readonly Queue<FaultSample> _samples = new();
    private readonly Lock _lock = new();

    public List<TenantTotals> TenantList { get; } = [];

    public List<LoopSnapshot> LoopList { get; } = [];

    public List<string> TenantNames { get; } = [];

    public IReadOnlyList<TenantTotals> Tenants() => [.. TenantList];

    public IReadOnlyList<LoopSnapshot> Loops() => [.. LoopList];

    public CacheReading ImageCache() => new(1 << 20, 0, 0, 0, [.. TenantList.Select(tenant => new CacheTenantReading(tenant.Label, 0, 0, 0))]);

    public MappedReading MappedObjects() => new(1 << 20, [.. TenantList.Select(tenant => new MappedShare(tenant.Label, "", 0, 0, 0))]);

    public string TenantName(int index) => TenantNames[index];

    public void Enqueue(int tenant, FaultKind kind, FaultOutcome outcome, long nanoseconds, long endedAt = 0)
    {
        lock (_lock)
        {
            _samples.Enqueue(new() { Tenant = tenant, Kind = kind, Outcome = outcome, DurationNanoseconds = nanoseconds, EndedAt = endedAt });
        }
    }

    public int DrainFaultSamples(Span<FaultSample> into)
    {
        lock (_lock)
        {
            int count = 0;
            while (count < into.Length && _samples.TryDequeue(out var sample))
            {
                into[count++] = sample;
            }

            return count;
        }
    }
}
