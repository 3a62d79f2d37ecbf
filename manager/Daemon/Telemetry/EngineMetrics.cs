using System.Diagnostics.Metrics;
using System.Globalization;
using UffdManager.Engine.Telemetry;

namespace UffdManager.Daemon.Telemetry;

/// <summary>The instruments that read the engine when they are collected; between collections they cost nothing.</summary>
internal sealed class EngineMetrics
{
    private const double NanosecondsPerSecond = 1e9;

    private readonly Meter _meter;
    private readonly EngineReadings _readings;

    public EngineMetrics(Meter meter, EngineReadings readings)
    {
        _meter = meter;
        _readings = readings;

        PerTenant(Instruments.Sessions, t => t.Sessions);
        PerTenant(Instruments.Regions, t => t.Regions);
        PerTenant(Instruments.RegisteredBytes, t => t.RegisteredBytes);
        PerTenant(Instruments.ResidentBytes, t => t.ResidentBytes);
        PerTenant(Instruments.PagesInFlight, t => t.PagesInFlight);
        PerTenant(Instruments.FetchQueueDepth, t => t.FetchesInFlight);
        PerTenant(Instruments.Faults, (t, i) => t.Faults[i]);
        PerTenant(Instruments.CopiedBytes, t => t.CopiedBytes);
        PerTenant(Instruments.ZeroedBytes, t => t.ZeroedBytes);
        PerTenant(Instruments.Events, (t, i) => t.Events[i]);
        PerTenant(Instruments.Deferrals, (t, i) => t.Deferrals[i]);
        PerTenant(Instruments.Conflicts, (t, i) => t.Conflicts[i]);
        PerTenant(Instruments.PoisonedPages, t => t.PoisonedPages);
        PerTenant(Instruments.KilledClients, t => t.KilledClients);
        PerTenant(Instruments.Fetches, (t, i) => t.Fetches[i]);
        PerTenant(Instruments.FetchesStarted, t => t.FetchesStarted);
        PerTenantSeconds(Instruments.FetchWait, t => t.FetchWaitNanoseconds);
        PerTenant(Instruments.ReplayPages, (t, i) => t.ReplayPages[i]);
        PerTenant(Instruments.ReplayRuns, (t, i) => t.ReplayRuns[i]);

        PerLoop(Instruments.LoopSessions, l => l.Sessions);
        PerLoopSeconds(Instruments.LoopBusy, l => l.BusyNanoseconds);
        PerLoopSeconds(Instruments.LoopSpin, l => l.SpinNanoseconds);
        PerLoop(Instruments.LoopWakeups, l => l.Wakeups);
        PerLoop(Instruments.PageTableBytes, l => (long)l.PageTableBytes);
        PerLoop(Instruments.SamplesDropped, l => l.SamplesDropped);
    }

    private void PerTenant(InstrumentDefinition definition, Func<TenantTotals, long> value) => PerTenant(definition, (t, _) => value(t));

    private void PerTenant(InstrumentDefinition definition, Func<TenantTotals, int, long> value)
    {
        var tags = new TagSets(definition);
        Observe(definition, () => _readings.Tenants.SelectMany(t => tags.For(t.Label).Select((set, i) => new Measurement<long>(value(t, i), set))));
    }

    private void PerTenantSeconds(InstrumentDefinition definition, Func<TenantTotals, long> nanoseconds)
    {
        var tags = new TagSets(definition);
        Observe(definition, () => _readings.Tenants.Select(t => new Measurement<double>(nanoseconds(t) / NanosecondsPerSecond, tags.For(t.Label)[0])));
    }

    private void PerLoop(InstrumentDefinition definition, Func<LoopSnapshot, long> value)
    {
        var tags = new TagSets(definition);
        Observe(definition, () => _readings.Loops.Select(l => new Measurement<long>(value(l), tags.For(Name(l))[0])));
    }

    private void PerLoopSeconds(InstrumentDefinition definition, Func<LoopSnapshot, long> nanoseconds)
    {
        var tags = new TagSets(definition);
        Observe(definition, () => _readings.Loops.Select(l => new Measurement<double>(nanoseconds(l) / NanosecondsPerSecond, tags.For(Name(l))[0])));
    }

    private void Observe<T>(InstrumentDefinition definition, Func<IEnumerable<Measurement<T>>> read)
        where T : struct
    {
        if (definition.Kind == InstrumentKind.Counter)
        {
            _meter.CreateObservableCounter(definition.Name, read, definition.Unit, definition.Description);
        }
        else
        {
            _meter.CreateObservableGauge(definition.Name, read, definition.Unit, definition.Description);
        }
    }

    private static string Name(LoopSnapshot loop) => loop.Index.ToString(CultureInfo.InvariantCulture);
}
