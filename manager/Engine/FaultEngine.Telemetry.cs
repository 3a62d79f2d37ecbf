using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Telemetry;

namespace UffdManager.Engine;

/// <content>Numbers.</content>
public sealed partial class FaultEngine
{
    private readonly Lock _countersLock = new();
    private readonly Dictionary<TenantUsage, TenantCounters[]> _counters = [];
    private readonly List<(string Name, TenantUsage Usage)> _tenants = [];

    /// <summary>What was counted for every tenant that ever had a session.</summary>
    public IReadOnlyList<TenantSnapshot> Counters()
    {
        lock (_countersLock)
        {
            List<TenantSnapshot> snapshots = new(_tenants.Count);
            foreach ((string name, TenantUsage usage) in _tenants)
            {
                TenantSnapshot snapshot = new(name, usage);
                foreach (TenantCounters counters in _counters[usage])
                {
                    snapshot.Add(counters);
                }

                snapshots.Add(snapshot);
            }

            return snapshots;
        }
    }

    /// <summary>The fault loops at this moment.</summary>
    public IReadOnlyList<LoopSnapshot> Loops() => [.. _loops.Select(loop => loop.Snapshot())];

    /// <summary>Takes service times out of the loops' rings. One reader at a time.</summary>
    /// <returns>How many were written to <paramref name="into"/>; when it is full there may be more.</returns>
    public int DrainFaultSamples(Span<FaultSample> into)
    {
        int count = 0;
        foreach (FaultLoop loop in _loops)
        {
            count += loop.Samples.Drain(into[count..]);
        }

        return count;
    }

    /// <summary>The tenant that <see cref="FaultSample.Tenant"/> stands for.</summary>
    public string TenantName(int index)
    {
        lock (_countersLock)
        {
            return _tenants[index].Name;
        }
    }

    private TenantCounters CountersOf(Tenant tenant, FaultLoop loop)
    {
        lock (_countersLock)
        {
            if (!_counters.TryGetValue(tenant.Usage, out TenantCounters[]? counters))
            {
                int index = _tenants.Count;
                _tenants.Add((tenant.Name, tenant.Usage));
                _counters[tenant.Usage] = counters = [.. _loops.Select(_ => new TenantCounters(tenant.Name, index))];
            }

            return counters[loop.Index];
        }
    }
}
