using System.Diagnostics.Metrics;

namespace UffdManager.Daemon.Telemetry;

/// <summary>The instruments about what outlives the daemon; they read when they are collected.</summary>
internal sealed class SupervisionMetrics
{
    public SupervisionMetrics(Meter meter, ISupervisionReadings readings)
    {
        TagSets outcomes = new(Instruments.RestoredSessions);
        Counter(Instruments.RestoredSessions, () =>
        [
            new Measurement<long>(readings.Restored, outcomes.For("restored")[0]),
            new Measurement<long>(readings.Gone, outcomes.For("gone")[0]),
            new Measurement<long>(readings.Failed, outcomes.For("failed")[0]),
        ]);
        Gauge(Instruments.RestoreDuration, () => readings.RestoreDuration.TotalSeconds);
        Gauge(Instruments.StoreKeeps, () => readings.Keeps ? 1L : 0L);
        Gauge(Instruments.StoreDescriptors, () => (long)readings.Descriptors);
        TagSets stored = new(Instruments.StoreSets);
        Counter(Instruments.StoreSets, () =>
        [
            new Measurement<long>(readings.StoredSets, stored.For("stored")[0]),
            new Measurement<long>(readings.RefusedSets, stored.For("refused")[0]),
        ]);
        Gauge(Instruments.StoreQueue, () => (long)readings.QueueLength);

        void Counter(InstrumentDefinition definition, Func<IEnumerable<Measurement<long>>> read) =>
            meter.CreateObservableCounter(definition.Name, read, definition.Unit, definition.Description);

        void Gauge<T>(InstrumentDefinition definition, Func<T> read)
            where T : struct => meter.CreateObservableGauge(definition.Name, read, definition.Unit, definition.Description);
    }
}
