using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using UffdManager.EndToEnd.Tests;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Cli.Tests.Real;

/// <summary>Looking at what somebody else has under way with a session of a real manager, and ending it.</summary>
public sealed class SnapshotFollowingTests
{
    [SkippableFact]
    public async Task Snapshot_that_cannot_go_on_is_shown_and_cancelled_from_elsewhere()
    {
        using HangingFiles files = HangingFiles.Mount();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(
            $$"""
            {
              "policies": { "file": { "source": { "kind": "client" } } },
              "tenants": { "everybody": { "default": true, "defaultPolicy": "file", "sourceDirectories": [{{JsonSerializer.Serialize(files.Path)}}] } }
            }
            """);
        try
        {
            await FollowAsync(files, daemon);
        }
        finally
        {
            // Before the daemon: a thread that waits there cannot be killed.
            files.End();
        }
    }

    private static async Task FollowAsync(HangingFiles files, DaemonProcess daemon)
    {
        using TempDirectory temp = new();
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, Protocol.WelcomeMessage welcome) = WireConnection.Attach(client, daemon.SocketPath);
        using WireConnection held = connection;
        ulong address = client.Map("anon", (ulong)HangingFiles.MemoryBytes).Address;
        connection.Ask<Protocol.RegisteredMessage>(WireConnection.Register(address, (ulong)HangingFiles.MemoryBytes, source: files.Memory));
        string session = $"{welcome.SessionId}";
        await NoneAsync("--show");
        await NoneAsync("--cancel");
        Assert.DoesNotContain("Under way:", (await RunAsync("session", "show", session)).Output, StringComparison.Ordinal);

        // What the memory shows is in a file that does not answer: the snapshot has its instant, and waits for ever.
        using Process taker = Uffdctl.Start([.. Uffdctl.Program, "session", "snapshot", session, "--out", temp.Combine("image")], Environment(daemon));
        JsonNode progress = await InstantAsync();
        Assert.Equal((temp.Combine("image"), HangingFiles.MemoryBytes, 0, false), (
            (string)progress["out"]!, (long)progress["totalBytes"]!, (long)progress["writtenBytes"]!, (bool)progress["done"]!));
        Uffdctl shown = await RunAsync("session", "snapshot", session, "--show");
        Assert.Equal((0, ""), (shown.ExitCode, shown.Error));
        Assert.Matches($@"Instant: +{(string)progress["takenAt"]!}\nDone: +[0-9]+% of 64KiB, 0B written\n", shown.Output);
        Assert.Matches(@"\nUnder way: +a snapshot is being taken\n", (await RunAsync("session", "show", session)).Output);

        Uffdctl cancelled = await RunAsync("session", "snapshot", session, "--cancel");
        Assert.Equal((0, $"session {session}: the snapshot is cancelled; the session goes on\n", ""), (cancelled.ExitCode, cancelled.Output, cancelled.Error));
        files.End();
        Uffdctl taken = await Uffdctl.EndAsync(taker);
        Assert.Equal(75, taken.ExitCode);
        Assert.Contains("there is no image: it was cancelled", taken.Error, StringComparison.Ordinal);
        await NoneAsync("--show");
        await NoneAsync("--cancel");
        Assert.Empty(Directory.GetFiles(temp.Path));
        Assert.False(client.HasExited);

        async Task NoneAsync(string option)
        {
            Uffdctl none = await RunAsync("session", "snapshot", session, option);
            Assert.Equal(
                (1, "", $"uffdctl: no snapshot of session {session} is being taken\n'uffdctl session snapshot {session} --out FILE' takes one.\n"),
                (none.ExitCode, none.Output, none.Error));
        }

        async Task<JsonNode> InstantAsync()
        {
            long began = Stopwatch.GetTimestamp();
            while (Stopwatch.GetElapsedTime(began) < Uffdctl.Deadline && !taker.HasExited)
            {
                Uffdctl asked = await RunAsync("session", "snapshot", session, "--show", "--json");
                JsonNode document = JsonNode.Parse(asked.Output)!;
                if (asked.ExitCode == 0 && document["takenAt"] is not null)
                    return document;
                Assert.True(asked.ExitCode is 0 or 1, asked.Error);
            }

            throw new TimeoutException($"the snapshot has no instant:\n{string.Join('\n', daemon.LogLines)}");
        }

        Task<Uffdctl> RunAsync(params string[] arguments) => Uffdctl.RunAsync(arguments, Environment(daemon));
    }

    private static Dictionary<string, string> Environment(DaemonProcess daemon) => new() { ["UFFD_MANAGER_CONTROL"] = Path.Combine(daemon.Directory, "control.sock") };
}
