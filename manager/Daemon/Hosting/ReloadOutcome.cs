using UffdManager.Daemon.Configuration;

namespace UffdManager.Daemon.Hosting;

/// <summary>What a reload did, or would do.</summary>
/// <param name="Errors">Everything that is wrong; with any of them the configuration in use stays.</param>
/// <param name="Warnings">What is allowed but probably not meant.</param>
/// <param name="NeedsRestart">Sections that differ from those in use and are used after a restart only.</param>
/// <param name="Loaded">What was read.</param>
internal sealed record ReloadOutcome(
    IReadOnlyList<ConfigurationError> Errors, IReadOnlyList<string> Warnings, IReadOnlyList<string> NeedsRestart, LoadedConfiguration Loaded)
{
    public bool Succeeded => Errors.Count == 0;
}
