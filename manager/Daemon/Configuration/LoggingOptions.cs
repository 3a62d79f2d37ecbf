using Microsoft.Extensions.Logging;

namespace UffdManager.Daemon.Configuration;

/// <summary>Log output: section <c>logging</c>.</summary>
public sealed record LoggingOptions
{
    /// <summary>Least level that is written.</summary>
    public required LogLevel Level { get; init; }

    /// <summary>Form of a line.</summary>
    public required LogFormat Format { get; init; }
}
