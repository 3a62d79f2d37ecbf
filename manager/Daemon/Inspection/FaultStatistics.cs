using System.Collections.Concurrent;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Telemetry;
using UffdManager.Engine;
using UffdManager.Engine.Telemetry;

namespace UffdManager.Daemon.Inspection;

/// <summary>
/// Service times by session, and by tenant over time: what the exported histogram does not have, because sessions are no label. Fed by the pump that
/// empties the rings of the fault loops; read by any thread.
/// </summary>
internal sealed class FaultStatistics(IEngineTelemetry engine) : IFaultSampleSink, IEngineEventSink
{
    /// <summary>Sessions measured at a time: 18 MiB.</summary>
    public const int MaximumSessions = 16384;

    private readonly ConcurrentDictionary<uint, CoarseHistogram> _sessions = new();
    private readonly ConcurrentDictionary<string, TenantStatistics> _tenants = new(StringComparer.Ordinal);
    private readonly List<TenantStatistics> _byIndex = [];

    // Guards the slots of all tenants: taken once a batch by the pump, and by who draws a history.
    private readonly Lock _slots = new();

    // Counted by hand: to ask the dictionary takes all of its locks.
    private int _count;

    /// <inheritdoc/>
    public void OnSamples(ReadOnlySpan<FaultSample> samples)
    {
        uint id = 0;
        CoarseHistogram? session = null;
        lock (_slots)
        {
            foreach (ref readonly FaultSample sample in samples)
            {
                if (session is null || sample.Session != id)
                {
                    id = sample.Session;
                    session = Measured(id);
                }

                session?.Add(sample.DurationNanoseconds);
                TenantStatistics tenant = TenantOf(sample.Tenant);
                tenant.Times.Add(sample.DurationNanoseconds);
                tenant.Slots.Add(sample.EndedAt, sample.DurationNanoseconds);
            }
        }
    }

    /// <inheritdoc/>
    public void OnEvent(EngineEvent engineEvent)
    {
        if (engineEvent is SessionEnded ended)
            Forget((uint)ended.Session.Id);
    }

    /// <summary>The service times of a session; null when it is not measured, or has none.</summary>
    public CoarseHistogram? OfSession(long id) => _sessions.GetValueOrDefault((uint)id);

    /// <summary>Whether a session without times has none for lack of faults, rather than of room.</summary>
    public bool HasRoom => Volatile.Read(ref _count) < MaximumSessions;

    /// <summary>The service times of a tenant; null when it has none.</summary>
    public CoarseHistogram? OfTenant(string name) => _tenants.GetValueOrDefault(name)?.Times;

    /// <summary>The counts of the last slots, the oldest first.</summary>
    /// <param name="tenant">Whose; null for all.</param>
    /// <param name="last">Number of the last slot.</param>
    public long[][] History(string? tenant, long last)
    {
        long[][] slots = [.. Enumerable.Range(0, LatencySlots.Slots).Select(_ => new long[LatencySlots.Boundaries.Length + 1])];
        lock (_slots)
        {
            foreach (TenantStatistics statistics in _tenants.Where(known => tenant is null || known.Key == tenant).Select(known => known.Value))
            {
                for (int i = 0; i < slots.Length; i++)
                    statistics.Slots.AddTo(last - slots.Length + 1 + i, slots[i]);
            }
        }

        return slots;
    }

    /// <summary>Forgets sessions that are over: the event that says so may be lost, and a last fault may come after it.</summary>
    /// <param name="live">Ids of the sessions there are.</param>
    public void Sweep(IEnumerable<long> live)
    {
        HashSet<uint> kept = [.. live.Select(id => (uint)id)];
        foreach (uint id in _sessions.Keys.Where(id => !kept.Contains(id)))
            Forget(id);
    }

    private void Forget(uint id)
    {
        if (_sessions.TryRemove(id, out _))
            Interlocked.Decrement(ref _count);
    }

    private CoarseHistogram? Measured(uint id)
    {
        if (_sessions.TryGetValue(id, out CoarseHistogram? known))
            return known;
        if (!HasRoom)
            return null;

        CoarseHistogram made = new();
        if (_sessions.TryAdd(id, made))
            Interlocked.Increment(ref _count);
        return made;
    }

    private TenantStatistics TenantOf(int index)
    {
        // A tenant that left the configuration and came back has two indexes and one name.
        while (index >= _byIndex.Count)
            _byIndex.Add(_tenants.GetOrAdd(engine.TenantName(_byIndex.Count), _ => new TenantStatistics()));
        return _byIndex[index];
    }

    private sealed class TenantStatistics
    {
        public CoarseHistogram Times { get; } = new();

        public LatencySlots Slots { get; } = new();
    }
}
