namespace UffdManager.Daemon.Telemetry;

/// <summary>The endpoint for metrics cannot listen where the configuration wants it. The message names the address and the reason.</summary>
public sealed class MetricsBindException : IOException
{
    /// <summary>Makes the exception.</summary>
    public MetricsBindException(string message, Exception cause)
        : base(message, cause)
    {
    }
}
