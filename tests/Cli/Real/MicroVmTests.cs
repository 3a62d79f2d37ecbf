using System.Diagnostics;
using System.Text.Json.Nodes;
using UffdManager.EndToEnd.Tests;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Cli.Tests.Real;

/// <summary>The commands that README.md tells the operator of a Firecracker, in their order, with the configuration that is built in.</summary>
public sealed class MicroVmTests
{
    private const string Images = "/srv/snapshots/web/";
    private const string Sockets = "/run/uffd-manager/";

    private static string Emulator { get; } = Path.Combine(
        Environment.GetEnvironmentVariable("UFFD_NATIVE_DIR") ?? Path.Combine(NativeProgram.RepositoryRoot, "artifacts", "native"), "uffd-firecracker");

    [SkippableFact]
    public async Task Commands_of_the_readme_lead_from_a_memory_file_to_vms_that_are_served_and_to_a_snapshot_of_one()
    {
        Require.Root();
        Require.That(File.Exists(Emulator), $"needs {Emulator}: make build");
        string builtIn = await File.ReadAllTextAsync(Path.Combine(NativeProgram.RepositoryRoot, "manager", "Daemon", "config.json"));
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(builtIn);
        string image = Path.Combine(daemon.Directory, "mem.bin");
        string socket = Path.Combine(daemon.Directory, "web.sock");
        Assert.Equal(0, await RunEmulatorAsync("make-image", image, "--length", $"{8 << 20}"));

        foreach (string command in Commands("image add", "snapshot serve"))
            await RightAsync(daemon, command);
        Assert.Equal(0, await RunEmulatorAsync("run", "--socket", socket, "--image", image, "--patience", "30"));
        Assert.Contains("web", await RightAsync(daemon, Assert.Single(Commands("snapshot show"))), StringComparison.Ordinal);

        // The next one lives while it is looked at.
        using Process vm = Process.Start(new ProcessStartInfo(Emulator, ["run", "--hold", "--socket", socket, "--image", image, "--patience", "30"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            UseShellExecute = false,
        })!;
        try
        {
            string session = await FindSessionAsync(daemon, vm.Id);
            await RightAsync(daemon, Assert.Single(Commands("session list")));
            await RightAsync(daemon, Numbered(Assert.Single(Commands("session track start")), session));
            string lines = await RightAsync(daemon, $"session snapshot {session} --out {Path.Combine(daemon.Directory, "live.mem")} --json");
            Assert.NotNull(JsonNode.Parse(lines.Split('\n')[0])!["takenAt"]);
            vm.StandardInput.Close();
            await vm.WaitForExitAsync().WaitAsync(Uffdctl.Deadline);
            Assert.Equal(0, vm.ExitCode);
        }
        finally
        {
            vm.Kill();
        }

        // Two runs have been recorded and replayed; its chunks are in the cache.
        Assert.Matches("(?i)cache", await RightAsync(daemon, Assert.Single(Commands("image show"))));

        string Numbered(string command, string session) => command.Replace(" 7", $" {session}", StringComparison.Ordinal);
    }

    // As they stand there, but for directories that a test must not use.
    private static string[] Commands(params string[] beginnings)
    {
        string[] lines = File.ReadAllLines(Path.Combine(NativeProgram.RepositoryRoot, "README.md"));
        return
        [
            .. beginnings.Select(beginning => lines.FirstOrDefault(line => line.StartsWith($"    uffdctl {beginning} ", StringComparison.Ordinal) || line.TrimEnd() == $"    uffdctl {beginning}")
                    ?? throw new InvalidOperationException($"README.md has no command uffdctl {beginning}"))
                .Select(line => line.Split(" #")[0].Trim()["uffdctl ".Length..]),
        ];
    }

    private static async Task<string> RightAsync(DaemonProcess daemon, string command)
    {
        string[] arguments = [.. command.Split(' ').Select(word => word.Replace(Images, $"{daemon.Directory}/", StringComparison.Ordinal).Replace(Sockets, $"{daemon.Directory}/", StringComparison.Ordinal))];
        Uffdctl run = await Uffdctl.RunAsync(arguments, new() { ["UFFD_MANAGER_CONTROL"] = Path.Combine(daemon.Directory, "control.sock") });
        Assert.True(run.ExitCode == 0, $"uffdctl {command} ended with {run.ExitCode}: {run.Error}\n{string.Join('\n', daemon.LogLines)}");
        return run.Output;
    }

    private static async Task<string> FindSessionAsync(DaemonProcess daemon, int pid)
    {
        long began = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(began) < Uffdctl.Deadline)
        {
            JsonNode list = JsonNode.Parse(await RightAsync(daemon, "session list --json"))!;
            if (list["sessions"]!.AsArray().FirstOrDefault(session => (int)session!["pid"]! == pid) is { } found)
                return $"{found["id"]}";
        }

        throw new TimeoutException($"no session of process {pid} came:\n{string.Join('\n', daemon.LogLines)}");
    }

    private static async Task<int> RunEmulatorAsync(params string[] arguments)
    {
        using Process process = Process.Start(Emulator, arguments);
        await process.WaitForExitAsync().WaitAsync(Uffdctl.Deadline);
        return process.ExitCode;
    }
}
