using System.Text.Json.Nodes;

namespace UffdManager.Daemon.Configuration;

/// <summary>A setting as it holds.</summary>
/// <param name="Path">Dotted path, with the names of policies and tenants.</param>
/// <param name="Value">The value in its shortest form that can be written in a file; null if the key is not set and has no default.</param>
/// <param name="Origin">File, environment variable, or "default".</param>
internal sealed record EffectiveSetting(string Path, JsonNode? Value, string Origin);
