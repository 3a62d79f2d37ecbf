using System.Diagnostics.Metrics;
using UffdManager.Daemon.LiveSnapshots;

namespace UffdManager.Daemon.Telemetry;

/// <summary>The instruments about snapshots of running clients. The series of a tenant begin with its first one, all of them at zero.</summary>
internal sealed class LiveSnapshotMetrics
{
    private readonly TenantLabels _tenants;
    private readonly Counter<long> _started;
    private readonly Counter<long> _ended;
    private readonly Counter<long> _bytes;
    private readonly Counter<long> _savedPages;
    private readonly Histogram<double> _arm;
    private readonly TagSets _tags = new(Instruments.LiveSnapshotsStarted);
    private readonly TagSets _endTags = new(Instruments.LiveSnapshots);

    public LiveSnapshotMetrics(Meter meter, TenantLabels tenants)
    {
        _tenants = tenants;
        _started = Counter(Instruments.LiveSnapshotsStarted);
        _ended = Counter(Instruments.LiveSnapshots);
        _bytes = Counter(Instruments.LiveSnapshotBytes);
        _savedPages = Counter(Instruments.LiveSnapshotWaits);
        _arm = meter.CreateHistogram<double>(Instruments.LiveSnapshotArm.Name, Instruments.LiveSnapshotArm.Unit, Instruments.LiveSnapshotArm.Description);

        Counter<long> Counter(InstrumentDefinition definition) =>
            meter.CreateCounter<long>(definition.Name, definition.Unit, definition.Description);
    }

    /// <summary>One is begun.</summary>
    public void Started(string tenant)
    {
        KeyValuePair<string, object?>[] tags = Tags(tenant);
        _started.Add(1, tags);
        _bytes.Add(0, tags);
        _savedPages.Add(0, tags);
        Array.ForEach(_endTags.For(_tenants.Of(tenant)), end => _ended.Add(0, end));
    }

    /// <summary>One is over.</summary>
    /// <param name="tenant">Whose client it was of.</param>
    /// <param name="end">How it ended.</param>
    /// <param name="writtenBytes">What was written.</param>
    /// <param name="savedPages">Pages that somebody waited for.</param>
    /// <param name="arm">Time to protect everything; zero when it did not come to that.</param>
    public void Ended(string tenant, LiveSnapshotEnd end, long writtenBytes, long savedPages, TimeSpan arm)
    {
        KeyValuePair<string, object?>[] tags = Tags(tenant);
        _ended.Add(1, _endTags.For(_tenants.Of(tenant))[(int)end]);
        _bytes.Add(writtenBytes, tags);
        _savedPages.Add(savedPages, tags);
        if (arm > TimeSpan.Zero)
            _arm.Record(arm.TotalSeconds, tags);
    }

    private KeyValuePair<string, object?>[] Tags(string tenant) => _tags.For(_tenants.Of(tenant))[0];
}
