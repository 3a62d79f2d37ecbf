namespace UffdManager.Daemon.Configuration;

/// <summary>One thing that is wrong with the configuration, in words for the person who wrote it.</summary>
/// <param name="Key">Path of the key, or the name of the file if the file as a whole is at fault.</param>
/// <param name="Problem">What is wrong and what is allowed.</param>
/// <param name="Origin">File or environment variable that the value came from; null if it came from nowhere.</param>
public sealed record ConfigurationError(string Key, string Problem, string? Origin)
{
    /// <inheritdoc/>
    public override string ToString() => Origin is null ? $"{Key}: {Problem}" : $"{Key}: {Problem} (from {Origin})";
}
