using System.Text.Json.Nodes;
using UffdManager.Control;
using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary>Killing: only what was named, only when it was meant, and all of it.</summary>
public sealed class SessionKillTests
{
    [Fact]
    public async Task Kill_without_a_terminal_and_without_yes_kills_nothing_and_exits_64()
    {
        using FakeControl control = FakeManager.Start();
        Uffdctl command = await Uffdctl.RunAsync(control, "session", "kill", "2");
        Assert.Equal(64, command.ExitCode);
        Assert.Contains("--yes", command.Error, StringComparison.Ordinal);
        Assert.Empty(control.Requests);
    }

    [Fact]
    public async Task Kill_with_yes_kills_at_once()
    {
        using FakeControl control = FakeManager.Start();
        Uffdctl command = await Uffdctl.RunAsync(control, "session", "kill", "2", "-y");
        Assert.Equal((0, "session 2: killed process 70123 (redis-server)\n"), (command.ExitCode, command.Output));
        Assert.Equal("DELETE /v1/sessions/2", Assert.Single(control.Requests).Resource);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Session_that_is_not_there_does_not_keep_the_others_alive(bool json)
    {
        using FakeControl control = FakeManager.Start();
        Uffdctl command = await Uffdctl.RunAsync(control, ["session", "kill", "7", "2", "2", "8", "--yes", .. json ? ["--json"] : Array.Empty<string>()]);
        Assert.Equal(66, command.ExitCode);
        Assert.Equal(["/v1/sessions/7", "/v1/sessions/2", "/v1/sessions/8"], control.Requests.Select(request => request.Target));
        Assert.Contains("session 7: There is no /v1/sessions/7", command.Error, StringComparison.Ordinal);
        if (!json)
            return;
        JsonNode document = JsonNode.Parse(command.Output)!;
        Assert.Equal([2], document["killed"]!.AsArray().Select(session => (long)session!["id"]!));
        Assert.Equal([7, 8], document["failed"]!.AsArray().Select(session => (long)session!["id"]!));
    }

    [Fact]
    public async Task Caller_who_may_not_kill_is_told_once()
    {
        using FakeControl control = new FakeControl().AnswerProblem("DELETE /v1/sessions/1", 403, "forbidden", "Uid 5 has not the right admin.");
        Uffdctl command = await Uffdctl.RunAsync(control, "session", "kill", "1", "2", "3", "--yes");
        Assert.Equal(77, command.ExitCode);
        Assert.Single(control.Requests);
    }

    [Fact]
    public async Task Kill_waits_until_the_session_is_gone()
    {
        using FakeControl control = FakeManager.Start();
        int asked = 0;
        control.Handle("GET /v1/sessions/2", async (request, stream) =>
        {
            string text = System.Text.Json.JsonSerializer.Serialize(Samples.Sessions.Sessions[1] with { State = ++asked < 3 ? "condemned" : "ended" }, ControlJson.Default.SessionDto);
            await stream.WriteAsync(System.Text.Encoding.UTF8.GetBytes(control.Head(200, "application/json", System.Text.Encoding.UTF8.GetByteCount(text)) + text));
        });
        Uffdctl command = await Uffdctl.RunAsync(control, "session", "kill", "2", "--yes", "--wait");
        Assert.Equal((0, 3), (command.ExitCode, asked));
    }

    [Fact]
    public async Task Process_that_does_not_go_exits_75()
    {
        Uffdctl command = await Uffdctl.RunInTimeAsync(
            FakeManager.Start, command => !command.Error.Contains("did not answer", StringComparison.Ordinal), "session", "kill", "2", "--yes", "--wait");
        Assert.Equal(75, command.ExitCode);
        Assert.Matches("is not gone after [0-9.]+m?s", command.Error);
    }

    [Theory]
    [InlineData("y", 0, 1)]
    [InlineData("yes", 0, 1)]
    [InlineData("n", 1, 0)]
    [InlineData("", 1, 0)]
    [InlineData("whatever", 1, 0)]
    public async Task Kill_on_a_terminal_asks_and_obeys(string answer, int code, int kills)
    {
        using FakeControl control = FakeManager.Start();
        using PseudoTerminal terminal = new(["session", "kill", "2", "--socket", control.SocketPath]);
        await terminal.WaitForAsync("Kill it? [y/N]");
        Assert.Contains("session 2: process 70123 (redis-server) of tenant a-tenant-with-a-rather-long-name, 1TiB resident", terminal.Text, StringComparison.Ordinal);
        terminal.Type(answer + "\n");
        Assert.Equal(code, await terminal.EndAsync());
        Assert.Equal(kills, control.Requests.Count(request => request.Method == "DELETE"));
    }
}
