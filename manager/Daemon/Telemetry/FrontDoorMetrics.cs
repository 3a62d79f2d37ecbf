using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Daemon.Hosting;

namespace UffdManager.Daemon.Telemetry;

/// <summary>The instruments that front doors feed. Tag sets are made at the first use of a combination, of which there are few.</summary>
internal sealed class FrontDoorMetrics : IFrontDoorTelemetry
{
    /// <summary>Doors whose series exist, at zero, before anything has happened at them.</summary>
    private static readonly string[] KnownDoors = ["native", "snapshot"];

    private readonly TenantLabels _tenants;
    private readonly UpDownCounter<long> _connections;
    private readonly Counter<long> _connectionsOpened;
    private readonly Counter<long> _peersRefused;
    private readonly Counter<long> _pauses;
    private readonly Counter<long> _protocolErrors;
    private readonly Counter<long> _vmsKilled;
    private readonly Counter<long> _requests;
    private readonly Histogram<double> _requestDuration;

    private readonly TagSets _refusalTags = new(Instruments.PeersRefused);
    private readonly TagSets _pauseTags = new(Instruments.AdmissionPauses);
    private readonly TagSets _errorTags = new(Instruments.ProtocolErrors);
    private readonly TagSets _killTags = new(Instruments.VmsKilled);
    private readonly ConcurrentDictionary<(string Door, string Tenant), TagList> _connectionTags = new();
    private readonly ConcurrentDictionary<(string Door, string Request, string Outcome), TagList> _requestTags = new();
    private readonly ConcurrentDictionary<(string Door, string Request), TagList> _durationTags = new();

    public FrontDoorMetrics(Meter meter, TenantLabels tenants)
    {
        _tenants = tenants;
        _connections = meter.CreateUpDownCounter<long>(
            Instruments.Connections.Name, Instruments.Connections.Unit, Instruments.Connections.Description);
        _connectionsOpened = Counter(Instruments.ConnectionsOpened);
        _peersRefused = Counter(Instruments.PeersRefused);
        _pauses = Counter(Instruments.AdmissionPauses);
        _protocolErrors = Counter(Instruments.ProtocolErrors);
        _vmsKilled = Counter(Instruments.VmsKilled);
        _requests = Counter(Instruments.Requests);
        _requestDuration = meter.CreateHistogram<double>(
            Instruments.RequestDuration.Name, Instruments.RequestDuration.Unit, Instruments.RequestDuration.Description);

        // A series that appears with its first event hides that event from rate(): the closed sets exist from the start.
        Array.ForEach(_pauseTags.For(SnapshotDoor.DoorName), tags => _pauses.Add(0, tags));
        Array.ForEach(_killTags.For(SnapshotDoor.DoorName), tags => _vmsKilled.Add(0, tags));
        foreach (string door in KnownDoors)
        {
            Array.ForEach(_refusalTags.For(door), tags => _peersRefused.Add(0, tags));
            Array.ForEach(_errorTags.For(door), tags => _protocolErrors.Add(0, tags));
        }

        Counter<long> Counter(InstrumentDefinition definition) =>
            meter.CreateCounter<long>(definition.Name, definition.Unit, definition.Description);
    }

    /// <inheritdoc/>
    public void ConnectionOpened(string door, string tenant)
    {
        var tags = ConnectionTags(door, tenant);
        _connections.Add(1, tags);
        _connectionsOpened.Add(1, tags);
    }

    /// <inheritdoc/>
    public void ConnectionClosed(string door, string tenant) => _connections.Add(-1, ConnectionTags(door, tenant));

    /// <inheritdoc/>
    public void PeerRefused(string door, PeerRefusal reason) => _peersRefused.Add(1, _refusalTags.For(door)[(int)reason]);

    /// <inheritdoc/>
    public void AdmissionPaused(string door, AdmissionPause reason) => _pauses.Add(1, _pauseTags.For(door)[(int)reason]);

    /// <inheritdoc/>
    public void ProtocolError(string door, ProtocolErrorReason reason) => _protocolErrors.Add(1, _errorTags.For(door)[(int)reason]);

    /// <inheritdoc/>
    public void VmKilled(string door, HandOverRefusal reason) => _vmsKilled.Add(1, _killTags.For(door)[(int)reason]);

    /// <inheritdoc/>
    public void RequestCompleted(string door, string tenant, string request, string outcome, TimeSpan duration)
    {
        _requests.Add(1, _requestTags.GetOrAdd(
            (door, request, outcome), static k => [new("door", k.Door), new("request", k.Request), new("outcome", k.Outcome)]));
        _requestDuration.Record(duration.TotalSeconds, _durationTags.GetOrAdd(
            (door, request), static k => [new("door", k.Door), new("request", k.Request)]));
    }

    private TagList ConnectionTags(string door, string tenant) => _connectionTags.GetOrAdd(
        (door, _tenants.Of(tenant)), static k => [new("door", k.Door), new("tenant", k.Tenant)]);
}
