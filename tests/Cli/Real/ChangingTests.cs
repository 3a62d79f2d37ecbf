using System.Diagnostics;
using System.Text.Json.Nodes;
using UffdManager.EndToEnd.Tests;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Cli.Tests.Real;

/// <summary>Telling a real manager to do something, and seeing that it is done.</summary>
public sealed class ChangingTests : IAsyncLifetime
{
    private readonly ManagerFixture _manager = new();

    public Task InitializeAsync() => _manager.InitializeAsync();

    public Task DisposeAsync() => _manager.DisposeAsync();

    [SkippableFact]
    public async Task Kill_ends_the_process_and_the_session()
    {
        ManagerFixture.Required();
        Uffdctl command = await _manager.RunAsync("session", "kill", $"{_manager.Session}", "--yes", "--wait", "--request-timeout", "60s");
        Assert.Equal((0, ""), (command.ExitCode, command.Error));
        Assert.Contains($"killed process {_manager.Client.Pid}", command.Output, StringComparison.Ordinal);
        Assert.True(_manager.Client.HasExited);
        Assert.Equal(66, (await _manager.RunAsync("session", "kill", $"{_manager.Session}", "--yes")).ExitCode);
    }

    [SkippableFact]
    public async Task Changed_pages_are_noted_from_start_to_stop()
    {
        ManagerFixture.Required();
        string session = $"{_manager.Session}";
        Assert.Equal(75, (await _manager.RunAsync("session", "track", "pages", session)).ExitCode);
        Uffdctl none = await _manager.RunAsync("session", "track", "show", session);
        Assert.Equal((1, "", $"uffdctl: session {session} is not tracked\n'uffdctl session track start {session}' begins it.\n"), (none.ExitCode, none.Output, none.Error));
        Assert.Matches(@"\nTracked: +no\n", (await _manager.RunAsync("session", "show", session)).Output);
        Uffdctl started = await _manager.RunAsync("session", "track", "start", session);
        Assert.Equal((0, ""), (started.ExitCode, started.Error));
        Assert.Contains("are noted", started.Output, StringComparison.Ordinal);
        string since = (string)JsonNode.Parse((await _manager.RunAsync("session", "track", "show", session, "--json")).Output)!["since"]!;
        Assert.Matches($@"\nSince: +{since}\nNoted by: +the manager: .*\nTracked: +256KiB\n$", (await _manager.RunAsync("session", "track", "show", session)).Output);
        Assert.Matches($@"\nTracked: +changed pages are noted since {since}\n", (await _manager.RunAsync("session", "show", session)).Output);
        _manager.Client.WriteByte(_manager.Address + ManagerFixture.PageBytes, 1);
        JsonNode pages = JsonNode.Parse((await _manager.RunAsync("session", "track", "pages", session, "--json")).Output)!;
        Assert.Equal($"0x{_manager.Address + ManagerFixture.PageBytes:x}", (string)pages["runs"]![0]!["start"]!);
        Uffdctl taken = await _manager.RunAsync("session", "track", "pages", session, "--reset");
        Assert.Contains("4KiB changed", taken.Output, StringComparison.Ordinal);
        Assert.Contains("0B changed", (await _manager.RunAsync("session", "track", "pages", session)).Output, StringComparison.Ordinal);
        Assert.Equal(0, (await _manager.RunAsync("session", "track", "stop", session)).ExitCode);
        Assert.Equal(75, (await _manager.RunAsync("session", "track", "stop", session)).ExitCode);
    }

    [SkippableFact]
    public async Task Snapshot_of_a_running_session_is_a_file()
    {
        ManagerFixture.Required();
        using TempDirectory temp = new();
        string session = $"{_manager.Session}";
        _manager.Client.WriteByte(_manager.Address + ManagerFixture.PageBytes, 9);
        Uffdctl taken = await _manager.RunAsync("session", "snapshot", session, "--out", temp.Combine("image"));
        Assert.Equal((0, ""), (taken.ExitCode, taken.Error));
        Assert.Contains($"4KiB written", taken.Output, StringComparison.Ordinal);
        Assert.Equal(9, (await File.ReadAllBytesAsync(temp.Combine("image")))[ManagerFixture.PageBytes]);
        Assert.Equal(75, (await _manager.RunAsync("session", "snapshot", session, "--out", temp.Combine("image"))).ExitCode);
        Assert.Equal(66, (await _manager.RunAsync("session", "snapshot", "99999", "--out", temp.Combine("other"))).ExitCode);
    }

    [SkippableFact]
    public async Task Drain_refuses_new_sessions_until_the_last_has_ended_or_it_is_taken_back()
    {
        ManagerFixture.Required();
        Uffdctl timeout = await _manager.RunAsync("drain", "--timeout", "300ms");
        Assert.Equal(75, timeout.ExitCode);
        Assert.Contains("1 sessions are left", timeout.Error, StringComparison.Ordinal);
        Assert.Matches("Phase: +draining\n", (await _manager.RunAsync("status")).Output);
        using (ClientProcess late = ClientProcess.Start())
        {
            using WireConnection connection = WireConnection.Open(late, _manager.Daemon.SocketPath);
            using Linux.SafeUffd uffd = late.OpenUffd();
            Assert.Equal(ErrorCode.ShuttingDown, connection.Ask<ErrorMessage>(WireConnection.Hello(HelloFlags.HasUffd), uffd).Code);
        }

        // What there is goes on.
        Assert.Equal(0, _manager.Client.ReadByte(_manager.Address + (ManagerFixture.Pages / 2 * ManagerFixture.PageBytes)));
        Assert.Equal(0, (await _manager.RunAsync("drain", "--cancel")).ExitCode);
        Assert.Equal(1, (await _manager.RunAsync("drain", "--cancel")).ExitCode);
        using (ClientProcess welcome = ClientProcess.Start())
            WireConnection.Attach(welcome, _manager.Daemon.SocketPath).Connection.Dispose();

        using Process drain = Uffdctl.Start([.. Uffdctl.Program, "drain"], new() { ["UFFD_MANAGER_CONTROL"] = _manager.ControlSocket });
        Assert.Contains("sessions left", await drain.StandardOutput.ReadLineAsync(), StringComparison.Ordinal);
        _manager.Client.Kill();
        Uffdctl drained = await Uffdctl.EndAsync(drain);
        Assert.Equal(0, drained.ExitCode);
        Assert.Contains("no session is left", drained.Output, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Configuration_is_checked_and_read_again()
    {
        ManagerFixture.Required();
        string file = _manager.Daemon.ConfigurationPath;
        await File.WriteAllTextAsync(file, DaemonProcess.DefaultConfiguration.TrimEnd().TrimEnd('}') + """, "metrics": { "slowFault": "never" } }""");
        foreach (string command in (string[])["config check", "reload"])
        {
            Uffdctl refused = await _manager.RunAsync(command.Split(' '));
            Assert.Equal((command, 78), (command, refused.ExitCode));
            Assert.Contains("metrics.slowFault", refused.Error, StringComparison.Ordinal);
            Assert.Contains(file, refused.Error, StringComparison.Ordinal);
        }

        await File.WriteAllTextAsync(file, DaemonProcess.DefaultConfiguration.Replace("\"zero-around\"", "\"renamed\"", StringComparison.Ordinal));
        Assert.Equal(0, (await _manager.RunAsync("config", "check")).ExitCode);
        Assert.Equal(66, (await _manager.RunAsync("policy", "show", "renamed")).ExitCode);
        Uffdctl reload = await _manager.RunAsync("reload");
        Assert.Equal((0, ""), (reload.ExitCode, reload.Error));
        Assert.StartsWith("Configuration read again: 1 tenants, 4 policies, from ", reload.Output, StringComparison.Ordinal);
        Assert.Equal(0, (await _manager.RunAsync("policy", "show", "renamed")).ExitCode);
    }

    [SkippableFact]
    public async Task Log_level_lasts_until_the_next_reload()
    {
        ManagerFixture.Required();
        Uffdctl changed = await _manager.RunAsync("loglevel", "warning", "--category", "UffdManager.Daemon.Control=debug", "--json");
        JsonNode levels = JsonNode.Parse(changed.Output)!;
        Assert.Equal(("warning", "information", "debug"), (
            (string)levels["level"]!, (string)levels["configured"]!, (string)levels["categories"]!["UffdManager.Daemon.Control"]!));
        Assert.Equal("debug", (string)JsonNode.Parse((await _manager.RunAsync("loglevel", "--json")).Output)!["categories"]!["UffdManager.Daemon.Control"]!);
        JsonNode cleared = JsonNode.Parse((await _manager.RunAsync("loglevel", "--category", "UffdManager.Daemon.Control=", "--json")).Output)!;
        Assert.Empty(cleared["categories"]!.AsObject());
        Assert.Equal(0, (await _manager.RunAsync("reload")).ExitCode);
        Assert.Equal("Level:  information\n", (await _manager.RunAsync("loglevel")).Output);
    }

    [SkippableFact]
    public async Task Manager_that_was_killed_or_stands_still_is_told()
    {
        ManagerFixture.Required();
        _manager.Daemon.Suspend();
        Uffdctl still = await _manager.RunAsync("status", "--request-timeout", "500ms");
        Assert.Equal(75, still.ExitCode);
        _manager.Daemon.Kill();
        Uffdctl dead = await _manager.RunAsync("status");
        Assert.Equal(69, dead.ExitCode);
        Assert.Contains($"nobody listens at {_manager.ControlSocket}", dead.Error, StringComparison.Ordinal);
    }
}
