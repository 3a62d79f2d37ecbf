using UffdManager.Engine.Telemetry;

namespace UffdManager.Daemon.Telemetry;

/// <summary>Somebody who wants every finished fault, beside the histogram that is exported.</summary>
internal interface IFaultSampleSink
{
    /// <summary>Some faults of one fault loop or several. One caller at a time; neither throws nor waits.</summary>
    void OnSamples(ReadOnlySpan<FaultSample> samples);
}
