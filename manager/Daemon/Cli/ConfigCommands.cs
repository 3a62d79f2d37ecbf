using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Images;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine.Images;

namespace UffdManager.Daemon.Cli;

/// <summary>The subcommands of `uffd-manager config`. Documents go to standard output, all else to standard error.</summary>
internal static class ConfigCommands
{
    public static int Check(ConfigurationFiles files)
    {
        LoadedConfiguration loaded = ConfigurationLoader.Load(files);
        if (Report(loaded.Errors) is var code and not ExitCode.Ok)
            return code;

        try
        {
            // Opens what the daemon would open.
            using ImageRegistry images = new(loaded.Value!.Images, new ChunkCache(0), TimeProvider.System);
            new PolicyCatalog(loaded.Value, images).Dispose();
        }
        catch (ConfigurationException e)
        {
            return Report(e.Errors);
        }

        foreach (string warning in ConfigurationWarnings.Of(loaded.Value!))
            Console.Error.WriteLine($"uffd-manager: warning: {warning}");
        Console.Error.WriteLine($"The configuration is valid: {string.Join(", ", loaded.Origins)}");
        return ExitCode.Ok;
    }

    public static int Show(ConfigurationFiles files, bool withSources)
    {
        LoadedConfiguration loaded = ConfigurationLoader.Load(files);
        if (Report(loaded.Errors) is var code and not ExitCode.Ok)
            return code;

        Console.Out.WriteLine(ConfigurationDocument.Write(loaded.Settings, withSources));
        return ExitCode.Ok;
    }

    public static int Schema()
    {
        Console.Out.Write(ConfigurationSchema.Write());
        return ExitCode.Ok;
    }

    private static int Report(IReadOnlyList<ConfigurationError> errors)
    {
        foreach (ConfigurationError error in errors)
            Console.Error.WriteLine($"uffd-manager: {error}");
        return errors.Count == 0 ? ExitCode.Ok : ExitCode.Configuration;
    }
}
