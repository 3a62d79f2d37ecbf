namespace UffdManager.Daemon.Configuration;

/// <summary>The configuration cannot be used. Carries every error, not the first.</summary>
public sealed class ConfigurationException(IReadOnlyList<ConfigurationError> errors)
    : Exception($"the configuration has {errors.Count} error(s)")
{
    /// <summary>All errors; at least one.</summary>
    public IReadOnlyList<ConfigurationError> Errors { get; } = errors;
}
