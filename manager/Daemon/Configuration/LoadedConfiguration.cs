namespace UffdManager.Daemon.Configuration;

/// <summary>What reading the configuration gave.</summary>
/// <param name="Value">The configuration; only meaningful if there are no errors.</param>
/// <param name="Settings">Every setting with its origin, in the order of the manual page.</param>
/// <param name="Errors">Everything that is wrong.</param>
/// <param name="Origins">The documents read, in order.</param>
internal sealed record LoadedConfiguration(
    ManagerConfiguration? Value,
    IReadOnlyList<EffectiveSetting> Settings,
    IReadOnlyList<ConfigurationError> Errors,
    IReadOnlyList<string> Origins);
