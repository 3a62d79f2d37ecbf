namespace UffdManager.Daemon.Configuration;

/// <summary>Finds the documents of the configuration.</summary>
/// <param name="File">The main file as the command line names it; null for the default place.</param>
/// <param name="Directory">The directory of drop-ins as the command line names it; null for the default place.</param>
internal sealed record ConfigurationFiles(string? File, string? Directory)
{
    public const string DefaultFile = "/etc/uffd-manager/config.json";
    public const string DefaultDirectory = "/etc/uffd-manager/config.d";
    private const string EmbeddedName = "UffdManager.Daemon.config.json";

    /// <summary>Reads them all, in the order in which later ones win.</summary>
    /// <param name="errors">Gets what cannot be read.</param>
    public IReadOnlyList<JsonLayer> Read(List<ConfigurationError> errors)
    {
        List<JsonLayer> layers = [];
        string main = File ?? DefaultFile;

        // Only the default file may be absent: a file that somebody named and that is not there is a mistake.
        if (File is null && !System.IO.File.Exists(main))
            layers.AddRange(Embedded());
        else
            Add(layers, errors, main);

        // A file named by hand stands alone, so that tests and trials do not pick up the machine's drop-ins.
        string? directory = Directory ?? (File is null ? DefaultDirectory : null);
        if (directory is not null && (Directory is not null || System.IO.Directory.Exists(directory)))
        {
            foreach (string dropIn in DropIns(directory, errors))
                Add(layers, errors, dropIn);
        }

        return layers;
    }

    private static IEnumerable<JsonLayer> Embedded()
    {
        using Stream stream = typeof(ConfigurationFiles).Assembly.GetManifestResourceStream(EmbeddedName)
            ?? throw new InvalidOperationException($"resource {EmbeddedName} is missing");
        using StreamReader reader = new(stream);
        yield return new JsonLayer("built-in", reader.ReadToEnd());

        if (!Environment.IsPrivilegedProcess)
            yield return new JsonLayer("built-in for an ordinary user", PrivateSocket());
    }

    // /run/uffd-manager belongs to root.
    private static string PrivateSocket()
    {
        string? runtime = Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR");
        string directory = string.IsNullOrEmpty(runtime)
            ? Path.Combine(Path.GetTempPath(), $"uffd-manager-{Environment.UserName}")
            : Path.Combine(runtime, "uffd-manager");
        string socket = System.Text.Json.JsonEncodedText.Encode(Path.Combine(directory, "manager.sock")).ToString();
        return $$"""{ "listen": { "socket": "{{socket}}" } }""";
    }

    private static List<string> DropIns(string directory, List<ConfigurationError> errors)
    {
        try
        {
            return [.. System.IO.Directory.EnumerateFiles(directory, "*.json").OrderBy(Path.GetFileName, StringComparer.Ordinal)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            errors.Add(new ConfigurationError(directory, $"cannot be read: {e.Message}", Origin: null));
            return [];
        }
    }

    private static void Add(List<JsonLayer> layers, List<ConfigurationError> errors, string path)
    {
        try
        {
            layers.Add(new JsonLayer(path, System.IO.File.ReadAllText(path)));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            errors.Add(new ConfigurationError(path, $"cannot be read: {e.Message}", Origin: null));
        }
    }
}
