using System.Text.Json.Nodes;

namespace UffdManager.Control;

/// <summary>The configuration in use.</summary>
public sealed record ConfigurationDto
{
    /// <summary>When it was read.</summary>
    public required string LoadedAt { get; init; }

    /// <summary>Documents, in the order in which later ones win.</summary>
    public required IReadOnlyList<string> Origins { get; init; }

    /// <summary>Sections that were changed and are only used after a restart.</summary>
    public required IReadOnlyList<string> NeedsRestart { get; init; }

    /// <summary>The document: sections, keys, values as in uffd-manager.conf(5).</summary>
    public required JsonObject Settings { get; init; }
}
