using System.Globalization;
using UffdManager.EndToEnd.Tests.Shim;
using UffdManager.EndToEnd.Tests.Survival;

namespace UffdManager.EndToEnd.Tests.Model;

/// <summary>What the environment may say about the model test.</summary>
public static class ModelSettings
{
    /// <summary>The client.</summary>
    public static string Client { get; } = Path.Combine(ShimFixture.NativeDirectory, "uffd-model");

    /// <summary>Whether everything that the test starts has been built.</summary>
    public static bool IsBuilt => File.Exists(Client) && File.Exists(SurvivalSource.Supervisor);

    /// <summary>How long each run goes on before everything is checked: UFFD_MODEL_SECONDS.</summary>
    public static TimeSpan Time => TimeSpan.FromSeconds(Number("SECONDS") ?? 4);

    /// <summary>The seed of the run that is another one each time: UFFD_MODEL_SEED.</summary>
    public static int? Seed => Number("SEED");

    private static int? Number(string name) =>
        Environment.GetEnvironmentVariable($"UFFD_MODEL_{name}") is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : null;
}
