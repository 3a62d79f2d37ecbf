using UffdManager.Daemon.Configuration;
using Xunit;

namespace UffdManager.Daemon.Tests.Configuration;

/// <summary>Loads configurations written in tests.</summary>
internal static class Layers
{
    /// <summary>The least that a configuration must have.</summary>
    public const string Minimal = """
        { "policies": { "zero": {} }, "tenants": { "everybody": { "default": true, "defaultPolicy": "zero" } } }
        """;

    public static LoadedConfiguration Load(params string[] documents) =>
        ConfigurationLoader.Load([.. documents.Select((text, index) => new JsonLayer($"file{index}.json", text))], []);

    public static ManagerConfiguration LoadValid(params string[] documents)
    {
        LoadedConfiguration loaded = Load(documents);
        Assert.Equal([], loaded.Errors.Select(error => error.ToString()));
        return loaded.Value!;
    }

    public static string[] Errors(params string[] documents) => [.. Load(documents).Errors.Select(error => error.ToString())];
}
