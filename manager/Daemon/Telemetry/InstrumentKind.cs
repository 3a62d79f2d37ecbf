namespace UffdManager.Daemon.Telemetry;

/// <summary>What a metric is to its reader; called in the documentation as here, in lower case.</summary>
internal enum InstrumentKind
{
    Gauge,
    Counter,
    Histogram,
    Info,
}
