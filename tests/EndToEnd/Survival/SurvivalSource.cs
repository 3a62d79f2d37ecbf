using System.Diagnostics;
using System.Globalization;
using UffdManager.EndToEnd.Tests.Shim;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>The programs that the tests of this folder start, and the file whose every word is a function of its place.</summary>
public sealed class SurvivalSource : IDisposable
{
    private const int Pages = 16384;
    private readonly TempDirectory _directory = new();

    public SurvivalSource()
    {
        Require.That(Environment.IsPrivilegedProcess, "needs root");
        Require.That(File.Exists(Supervisor) && File.Exists(Client), $"needs the native programs in {ShimFixture.NativeDirectory}: make build");
        Path = _directory.Combine("source.bin");
        using Process process = Process.Start(Client, ["make-source", Path, "--pages", $"{Pages}"]);
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
    }

    public static string Supervisor { get; } = System.IO.Path.Combine(ShimFixture.NativeDirectory, "uffd-supervise");

    public static string Client { get; } = System.IO.Path.Combine(ShimFixture.NativeDirectory, "uffd-survival-client");

    public static string Intruder { get; } = System.IO.Path.Combine(ShimFixture.NativeDirectory, "uffd-survival-intruder");

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>A number that the environment may set, as <c>scripts/test-survival.sh</c> does.</summary>
    public static int Setting(string name, int otherwise) =>
        Environment.GetEnvironmentVariable($"UFFD_SURVIVAL_{name}") is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;

    public void Dispose() => _directory.Dispose();
}
