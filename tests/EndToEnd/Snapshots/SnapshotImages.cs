using System.Diagnostics;
using System.Globalization;
using UffdManager.EndToEnd.Tests.Shim;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>The programs that the tests of this folder start, and memory files of snapshots.</summary>
public sealed class SnapshotImages : IDisposable
{
    private readonly TempDirectory _directory = new();

    public SnapshotImages()
    {
        Require.That(Environment.IsPrivilegedProcess, "needs root");
        Require.That(File.Exists(Emulator) && File.Exists(Microguest), $"needs the native programs in {ShimFixture.NativeDirectory}: make build");
        File.SetUnixFileMode(_directory.Path, (UnixFileMode)0b111_101_101);
        Small = Make("small.bin", Length);
        Guest = _directory.Combine("guest.bin");
        Run(Microguest, "make-image", Guest, "--length", Text(4 << 20));
    }

    /// <summary>Bytes of <see cref="Small"/>; as much again behind them is one hole.</summary>
    public const int Length = 8 << 20;

    /// <summary>Bytes of <see cref="Small"/> that are in no hole.</summary>
    public const int DataBytes = Length - (Length / (64 << 10) / 5 * (64 << 10));

    /// <summary>The path of uffd-firecracker.</summary>
    public static string Emulator { get; } = Path.Combine(ShimFixture.NativeDirectory, "uffd-firecracker");

    /// <summary>The path of uffd-microguest.</summary>
    public static string Microguest { get; } = Path.Combine(ShimFixture.NativeDirectory, "uffd-microguest");

    /// <summary>Where the files are: a tenant's source directory.</summary>
    public string Directory => _directory.Path;

    /// <summary>16 MiB; every fifth 64 KiB of the first half is a hole, and the second half is one.</summary>
    public string Small { get; }

    /// <summary>4 MiB with the micro-guest's program in it.</summary>
    public string Guest { get; }

    /// <summary>Makes another file, for a test that damages it.</summary>
    public string Make(string name, long length)
    {
        string path = _directory.Combine(name);
        Run(Emulator, "make-image", path, "--length", Text(length), "--holes", "5", "--tail", Text(length));
        return path;
    }

    /// <summary>What <c>list-hostile</c> of the emulator says.</summary>
    public static IReadOnlyList<string> HostileKinds()
    {
        using Process process = Process.Start(new ProcessStartInfo(Emulator, ["list-hostile"]) { RedirectStandardOutput = true, UseShellExecute = false })!;
        string[] kinds = process.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        process.WaitForExit();
        return kinds;
    }

    public void Dispose() => _directory.Dispose();

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    private static void Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(program, arguments);
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
    }
}
