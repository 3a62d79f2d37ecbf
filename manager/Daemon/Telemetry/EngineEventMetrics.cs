using System.Diagnostics.Metrics;
using UffdManager.Daemon.Hosting;
using UffdManager.Engine;

namespace UffdManager.Daemon.Telemetry;

/// <summary>The instruments that are fed by engine events, for what the engine's own counters do not tell.</summary>
internal sealed class EngineEventMetrics : IEngineEventSink
{
    private readonly TenantLabels _labels;
    private readonly Counter<long> _sessionsEnded;
    private readonly Counter<long> _misbehaviour;
    private readonly TagSets _endTags = new(Instruments.SessionsEnded);
    private readonly TagSets _misbehaviourTags = new(Instruments.Misbehaviour);

    public EngineEventMetrics(Meter meter, TenantLabels labels)
    {
        _labels = labels;
        _sessionsEnded = meter.CreateCounter<long>(
            Instruments.SessionsEnded.Name, Instruments.SessionsEnded.Unit, Instruments.SessionsEnded.Description);
        _misbehaviour = meter.CreateCounter<long>(
            Instruments.Misbehaviour.Name, Instruments.Misbehaviour.Unit, Instruments.Misbehaviour.Description);
    }

    /// <inheritdoc/>
    public void OnEvent(EngineEvent engineEvent)
    {
        string tenant = _labels.Of(engineEvent.Session.Tenant.Name);
        switch (engineEvent)
        {
            case SessionStarted:
                Array.ForEach(_endTags.For(tenant), tags => _sessionsEnded.Add(0, tags));
                Array.ForEach(_misbehaviourTags.For(tenant), tags => _misbehaviour.Add(0, tags));
                break;
            case SessionEnded ended:
                _sessionsEnded.Add(1, _endTags.For(tenant)[(int)ended.Reason]);
                break;
            case ClientMisbehaved:
                _misbehaviour.Add(1, _misbehaviourTags.For(tenant)[0]);
                break;
        }
    }
}
