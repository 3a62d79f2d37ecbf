using System.Diagnostics;
using UffdManager.Daemon.Configuration;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// Makes a span of each fault that took longer than the configuration calls slow, after the fact: the fault path knows nothing of
/// traces. Called by the pump alone.
/// </summary>
internal sealed class SlowFaultTracer(MetricsOptions options, TimeProvider time)
{
    /// <summary>Spans a second; a source that is down makes every fault of its tenant slow, and the first ones tell as much as all.</summary>
    private const int SpansPerSecond = 100;

    private static readonly string[] Kinds = SnakeCase.NamesOf<FaultKind>();
    private static readonly string[] Outcomes = SnakeCase.NamesOf<FaultOutcome>();

    private long _second;
    private int _spans;

    /// <summary>Faults from this duration on are slow, nanoseconds.</summary>
    public long ThresholdNanoseconds { get; } = (long)options.SlowFault.TotalNanoseconds;

    /// <summary>Makes the span of one fault, unless nobody listens or there were enough this second.</summary>
    public void Trace(in FaultSample sample, string tenant)
    {
        if (!ManagerActivities.Source.HasListeners() || !Allowed())
        {
            return;
        }

        var end = WallClock.At(sample.EndedAt, time);
        using var activity = ManagerActivities.StartDetached(
            "fault",
            end - TimeSpan.FromMicroseconds(sample.DurationNanoseconds / 1000.0),
            new ActivityTagsCollection { ["tenant"] = tenant, ["fault.kind"] = Kinds[(int)sample.Kind], ["fault.outcome"] = Outcomes[(int)sample.Outcome] });
        if (activity is null)
        {
            return;
        }

        if (sample.Outcome is FaultOutcome.Poisoned or FaultOutcome.ClientKilled)
        {
            activity.SetStatus(ActivityStatusCode.Error, "the page could not be had");
        }

        activity.SetEndTime(end.UtcDateTime);
    }

    private bool Allowed()
    {
        long second = time.GetTimestamp() / time.TimestampFrequency;
        if (second != _second)
        {
            _second = second;
            _spans = 0;
        }

        return _spans++ < SpansPerSecond;
    }
}
