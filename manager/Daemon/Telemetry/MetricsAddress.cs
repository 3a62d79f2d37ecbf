namespace UffdManager.Daemon.Telemetry;

/// <summary>Where the endpoint for metrics listens. Port 0 in the configuration makes it known only after the start.</summary>
public sealed class MetricsAddress
{
    private volatile Uri? _bound;

    /// <summary>Base URL, for example <c>http://127.0.0.1:9464/</c>; null while nothing listens.</summary>
    public Uri? Bound
    {
        get => _bound;
        internal set => _bound = value;
    }
}
