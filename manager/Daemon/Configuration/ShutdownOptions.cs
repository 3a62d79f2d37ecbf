namespace UffdManager.Daemon.Configuration;

/// <summary>The graceful stop: section <c>shutdown</c>.</summary>
public sealed record ShutdownOptions
{
    /// <summary>Time that live sessions get before the rest is ended by force.</summary>
    public required TimeSpan Grace { get; init; }
}
