using System.Diagnostics;
using System.Text.Json.Nodes;
using UffdManager.Control;
using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary>Draining: progress while it lasts, and an exit code that says how it ended.</summary>
public sealed class DrainTests : IDisposable
{
    private readonly FakeControl _control = new();

    public void Dispose() => _control.Dispose();

    [Fact]
    public async Task Drain_shows_progress_and_exits_0_when_the_last_session_has_ended()
    {
        Stream().Write(Samples.Drain(2), ControlJson.Default.DrainProgressDto).Write(Samples.Drain(2), ControlJson.Default.DrainProgressDto)
            .Write(Samples.Drain(1), ControlJson.Default.DrainProgressDto).Write(Samples.Drain(0, "drained"), ControlJson.Default.DrainProgressDto).End();
        Uffdctl command = await Uffdctl.RunAsync(_control, "drain");
        Assert.Equal(0, command.ExitCode);
        Assert.Equal("2 sessions left (default 2), 1s\n1 sessions left (default 1), 1s\nDrained in 1.5s: no session is left\n", command.Output);
        Assert.Equal("/v1/drain", Assert.Single(_control.Requests).Target);
    }

    [Theory]
    [InlineData("timeout", 3, 75)]
    [InlineData("ended", 3, 1)]
    [InlineData("stopping", 3, 75)]
    [InlineData("of_a_later_version", 3, 75)]
    [InlineData("of_a_later_version", 0, 0)]
    public async Task Drain_exits_by_how_it_ended(string result, long left, int code)
    {
        Stream().Write(Samples.Drain(left, result), ControlJson.Default.DrainProgressDto).End();
        Uffdctl command = await Uffdctl.RunAsync(_control, "drain", "--timeout", "1.5m");
        Assert.Equal(code, command.ExitCode);
        Assert.StartsWith("uffdctl: ", command.Error, StringComparison.Ordinal);
        Assert.Equal("/v1/drain?timeout=90000ms", Assert.Single(_control.Requests).Target);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Manager_that_dies_while_draining_exits_69(bool inTheMiddle)
    {
        FakeStream lines = Stream().Write(Samples.Drain(2), ControlJson.Default.DrainProgressDto);
        _ = inTheMiddle ? lines.WriteText("{\"at\":").Break() : lines.End();
        Assert.Equal(69, (await Uffdctl.RunAsync(_control, "drain")).ExitCode);
    }

    [Fact]
    public async Task Documents_of_a_drain_are_one_a_line()
    {
        Stream().Write(Samples.Drain(2), ControlJson.Default.DrainProgressDto).Write(Samples.Drain(2, "timeout"), ControlJson.Default.DrainProgressDto).End();
        Uffdctl command = await Uffdctl.RunAsync(_control, "drain", "--json");
        Assert.Equal(75, command.ExitCode);
        string[] lines = command.Output.TrimEnd('\n').Split('\n');
        Assert.Equal([false, true], lines.Select(line => (bool)JsonNode.Parse(line)!["done"]!));
    }

    [Fact]
    public async Task Drain_need_not_wait()
    {
        Stream().Write(Samples.Drain(2), ControlJson.Default.DrainProgressDto);
        Uffdctl command = await Uffdctl.RunAsync(_control, "drain", "--no-wait");
        Assert.Equal(0, command.ExitCode);
        Assert.EndsWith("Draining: 2 sessions left\n", command.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(204, 0)]
    [InlineData(409, 1)]
    public async Task Drain_is_taken_back(int status, int code)
    {
        _control.Handle("DELETE /v1/drain", (_, stream) => status == 204
            ? stream.WriteAsync(System.Text.Encoding.ASCII.GetBytes("HTTP/1.1 204 No Content\r\nUffd-Manager-Api: 1\r\n\r\n")).AsTask()
            : stream.WriteAsync(System.Text.Encoding.ASCII.GetBytes(
                _control.Head(409, "application/problem+json", 83) + """{"type":"urn:uffd-manager:problem:conflict","title":"c","status":409,"detail":"no"} """)).AsTask());
        Uffdctl command = await Uffdctl.RunAsync(_control, "drain", "--cancel");
        Assert.Equal(code, command.ExitCode);
        Uffdctl document = await Uffdctl.RunAsync(_control, "drain", "--cancel", "--json");
        Assert.Equal(code == 0, (bool)JsonNode.Parse(document.Output)!["cancelled"]!);
    }

    [Theory]
    [InlineData("INT", 130)]
    [InlineData("TERM", 143)]
    public async Task Signal_ends_the_waiting_and_says_that_draining_goes_on(string signal, int code)
    {
        Stream().Write(Samples.Drain(2), ControlJson.Default.DrainProgressDto);
        using Process process = Uffdctl.Start([.. Uffdctl.WithSignals, .. Uffdctl.Program, "drain", "--socket", _control.SocketPath]);
        Assert.Equal("2 sessions left (default 2), 1s", await process.StandardOutput.ReadLineAsync());
        using (var kill = Process.Start("kill", ["-s", signal, $"{process.Id}"]))
            await kill.WaitForExitAsync();
        Uffdctl command = await Uffdctl.EndAsync(process);
        Assert.Equal(code, command.ExitCode);
        Assert.Contains("uffdctl drain --cancel", command.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Progress_on_a_terminal_stays_on_one_line()
    {
        Stream().Write(Samples.Drain(4), ControlJson.Default.DrainProgressDto).Write(Samples.Drain(1), ControlJson.Default.DrainProgressDto)
            .Write(Samples.Drain(0, "drained"), ControlJson.Default.DrainProgressDto).End();
        using PseudoTerminal terminal = new(["drain", "--socket", _control.SocketPath]);
        Assert.Equal(0, await terminal.EndAsync());
        Assert.Contains("\r[....................] 4 sessions left", terminal.Text, StringComparison.Ordinal);
        Assert.Contains("\r[###############.....] 1 sessions left (default 1), 1s\e[K\r", terminal.Text, StringComparison.Ordinal);
        Assert.Contains("\nDrained in 1.5s", terminal.Text, StringComparison.Ordinal);
    }

    private FakeStream Stream() => _control.AnswerStream("POST /v1/drain");
}
