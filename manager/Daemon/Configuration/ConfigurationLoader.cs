using Microsoft.Extensions.Configuration;

namespace UffdManager.Daemon.Configuration;

/// <summary>Reads, merges and validates the configuration: files, then drop-ins in name order, then the environment.</summary>
internal static class ConfigurationLoader
{
    /// <summary>Beginning of the environment variables that are settings: two underscores, also between the parts of a key.</summary>
    public const string EnvironmentPrefix = "UFFD_MANAGER__";

    public static LoadedConfiguration Load(ConfigurationFiles files)
    {
        List<ConfigurationError> errors = [];
        return Load(files.Read(errors), errors);
    }

    /// <summary>Merges documents that were read already.</summary>
    /// <param name="layers">In the order in which later ones win; the environment wins over all.</param>
    /// <param name="errors">What went wrong so far.</param>
    public static LoadedConfiguration Load(IReadOnlyList<JsonLayer> layers, List<ConfigurationError> errors)
    {
        IReadOnlyList<string> origins = [.. layers.Select(layer => layer.Name)];
        JsonLayersProvider documents = new(layers);
        var root = (ConfigurationRoot)new ConfigurationBuilder().Add(documents).AddEnvironmentVariables(EnvironmentPrefix).Build();
        using (root)
        {
            errors.AddRange(documents.Errors);
            SettingsReader reader = new(root, key => Origin(root, documents, key));

            // What is missing from a document that could not be read would be reported as an error of its own.
            if (errors.Count > 0)
                return new LoadedConfiguration(Value: null, [], errors, origins);

            ConfigurationRules.CheckKeys(reader, root);
            ManagerConfiguration configuration = ConfigurationBinding.Bind(reader);
            ConfigurationRules.Check(reader, configuration);
            errors.AddRange(reader.Errors);
            return new LoadedConfiguration(errors.Count == 0 ? configuration : null, InOrder(reader.Effective), errors, origins);
        }
    }

    private static List<EffectiveSetting> InOrder(IReadOnlyList<EffectiveSetting> settings)
    {
        Dictionary<string, int> order = new(StringComparer.OrdinalIgnoreCase);
        foreach (Setting setting in Settings.All)
            order.Add(setting.Path, order.Count);
        return [.. settings.OrderBy(setting => order[Settings.Pattern(setting.Path)])];
    }

    private static string? Origin(ConfigurationRoot root, JsonLayersProvider documents, string key)
    {
        foreach (IConfigurationProvider provider in root.Providers.Reverse())
        {
            if (!provider.TryGet(key, out _))
                continue;
            return provider == documents
                ? documents.Origin(key)
                : "environment variable " + EnvironmentPrefix + key.Replace(":", "__", StringComparison.Ordinal);
        }

        return null;
    }
}
