using UffdManager.Daemon.Configuration;

namespace UffdManager.Daemon.Cli;

/// <summary>The subcommands of `uffd-manager config`. Documents go to standard output, all else to standard error.</summary>
internal static class ConfigCommands
{
    public static int Check(ConfigurationFiles files)
    {
        LoadedConfiguration loaded = ConfigurationLoader.Load(files);
        if (Report(loaded) is var code and not ExitCode.Ok)
            return code;

        Console.Error.WriteLine($"The configuration is valid: {string.Join(", ", loaded.Origins)}");
        return ExitCode.Ok;
    }

    public static int Show(ConfigurationFiles files, bool withSources)
    {
        LoadedConfiguration loaded = ConfigurationLoader.Load(files);
        if (Report(loaded) is var code and not ExitCode.Ok)
            return code;

        Console.Out.WriteLine(ConfigurationDocument.Write(loaded.Settings, withSources));
        return ExitCode.Ok;
    }

    public static int Schema()
    {
        Console.Out.Write(ConfigurationSchema.Write());
        return ExitCode.Ok;
    }

    private static int Report(LoadedConfiguration loaded)
    {
        foreach (ConfigurationError error in loaded.Errors)
            Console.Error.WriteLine($"uffd-manager: {error}");
        return loaded.Errors.Count == 0 ? ExitCode.Ok : ExitCode.Configuration;
    }
}
