namespace UffdManager.Control;

/// <summary>What is in a support archive.</summary>
public sealed record BundleManifestDto
{
    /// <summary>Version of the daemon.</summary>
    public required string Version { get; init; }

    /// <summary>When the archive was made.</summary>
    public required string At { get; init; }

    /// <summary>Name of the host.</summary>
    public required string Host { get; init; }

    /// <summary>Who asked for it.</summary>
    public required string By { get; init; }

    /// <summary>The files of the archive.</summary>
    public required IReadOnlyList<BundleFileDto> Files { get; init; }

    /// <summary>What could not be had, by file, and why.</summary>
    public required IReadOnlyDictionary<string, string> Failures { get; init; }
}
