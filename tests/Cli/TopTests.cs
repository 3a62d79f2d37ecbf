using System.Text.Json.Nodes;
using UffdManager.Cli.Top;
using UffdManager.Control;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary><c>uffdctl top</c>, into a pipe and on a terminal with keys.</summary>
public sealed class TopTests : IDisposable
{
    private readonly FakeControl _control = new();
    private readonly FakeStream _frames;

    public TopTests() => _frames = _control.AnswerStream("GET /v1/top");

    public void Dispose() => _control.Dispose();

    [Fact]
    public async Task Picture_is_the_reviewed_one_in_80_and_200_columns_and_in_a_pipe()
    {
        foreach ((string width, string suffix) in ((string, string)[])[("80", "-80"), ("200", "-200"), ("", "-pipe")])
        {
            Frame().End();
            Uffdctl command = await Uffdctl.RunAsync(["top", "--once", "--interval", "500ms", "--socket", _control.SocketPath], new() { ["COLUMNS"] = width });
            Assert.Equal(0, command.ExitCode);
            Golden.Verify("top" + suffix, command.Output);
        }

        Assert.All(_control.Requests, request => Assert.Equal("/v1/top?interval=500ms&count=1&limit=50", request.Target));
    }

    [Theory]
    [InlineData("faults", "2,1,3")]
    [InlineData("resident", "2,1,3")]
    [InlineData("queue", "1,2,3")]
    [InlineData("id", "1,2,3")]
    [InlineData("p99", "2,1,3")]
    [InlineData("command", "3,1,2")]
    [InlineData("state", "3,1,2")]
    public async Task Sessions_come_in_the_order_that_is_asked_for(string key, string order)
    {
        Frame().End();
        Uffdctl command = await Uffdctl.RunAsync(_control, "top", "--once", "--sort", key);
        Assert.Equal(order, Ids(command.Output));

        Frame().End();
        Uffdctl reversed = await Uffdctl.RunAsync(_control, "top", "--once", "-s", key, "-r");
        Assert.NotEqual(order, Ids(reversed.Output));
    }

    [Fact]
    public async Task Other_orders_need_all_sessions_and_show_the_first()
    {
        Frame().End();
        Uffdctl command = await Uffdctl.RunAsync(_control, "top", "--once", "--sort", "queue", "--limit", "1");
        Assert.Equal("1", Ids(command.Output));
        Assert.Contains("limit=1000", _control.Requests.Single().Target, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Documents_are_one_with_once_and_one_a_line_else()
    {
        Frame().End();
        Uffdctl once = await Uffdctl.RunAsync(_control, "top", "--once", "--json", "--tenant", "t t");
        Assert.Equal("2026-01-31T12:00:01.5Z", (string)JsonNode.Parse(once.Output)!["at"]!);
        Assert.Equal("/v1/top?interval=1000ms&count=1&tenant=t%20t&limit=50", _control.Requests.Single().Target);

        Frame().Write(Samples.Frame, ControlJson.Default.TopFrameDto).End();
        Uffdctl stream = await Uffdctl.RunAsync(_control, "top", "--count", "2", "--json");
        Assert.Equal(0, stream.ExitCode);
        Assert.All(stream.Output.TrimEnd('\n').Split('\n'), line => Assert.NotNull(JsonNode.Parse(line)!["total"]));
        Assert.Equal(2, stream.Output.Count(c => c == '\n'));
    }

    [Fact]
    public async Task Manager_that_ends_before_the_last_picture_exits_69()
    {
        Frame().End();
        Uffdctl command = await Uffdctl.RunAsync(_control, "top", "--count", "2");
        Assert.Equal(69, command.ExitCode);
        Assert.Contains("after 1 pictures", command.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Manager_that_hangs_between_pictures_exits_75()
    {
        Uffdctl command = await Uffdctl.RunInTimeAsync(
            () =>
            {
                FakeControl control = new();
                control.AnswerStream("GET /v1/top").Write(Samples.Frame, ControlJson.Default.TopFrameDto);
                return control;
            },
            command => command.Output.Contains("TENANT", StringComparison.Ordinal), "top", "--batch", "--interval", "100ms");
        Assert.Equal(75, command.ExitCode);
        Assert.Contains("TENANT", command.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Terminal_shows_pictures_obeys_keys_and_is_given_back()
    {
        Frame();
        using PseudoTerminal terminal = Start();
        await terminal.WaitForAsync("FAULTS/S▼");
        Assert.Contains("\e[?1049h\e[?25l", terminal.Text, StringComparison.Ordinal);
        Assert.Contains("limit=1000", _control.Requests.Single().Target, StringComparison.Ordinal);

        await PressAsync(terminal, "s", "P50▼");
        await PressAsync(terminal, "\e[C", "P99▼");
        await PressAsync(terminal, "\e[D", "P50▼");
        await PressAsync(terminal, "r", "P50▲");
        await PressAsync(terminal, " ", "PAUSED");
        await PressAsync(terminal, "h", "this help");
        await PressAsync(terminal, "h", "q quit");
        terminal.Type("q");
        Assert.Equal(0, await terminal.EndAsync());
        Assert.Contains("\e[?25h\e[?1049l", terminal.Text, StringComparison.Ordinal);
        Assert.True(terminal.IsRestored, terminal.Text);
    }

    [Theory]
    [InlineData("\u0003", 0)]
    [InlineData(null, 143)]
    public async Task Signal_gives_the_terminal_back(string? key, int code)
    {
        Frame();
        using PseudoTerminal terminal = Start();
        await terminal.WaitForAsync("q quit");
        if (key is not null)
            terminal.Type(key);
        else
            System.Diagnostics.Process.Start("kill", ["-s", "TERM", $"{terminal.FindProgram()}"]).Dispose();
        Assert.Equal(code, await terminal.EndAsync());
        Assert.Contains("\e[?25h\e[?1049l", terminal.Text, StringComparison.Ordinal);
        Assert.True(terminal.IsRestored, terminal.Text);
    }

    [Fact]
    public async Task Terminal_says_that_the_manager_is_gone_and_goes_on_with_the_next_one()
    {
        Frame().End();
        using PseudoTerminal terminal = Start();
        await terminal.WaitForAsync("the manager has ended; trying again");
        int before = terminal.Text.Length;
        _frames.Write(Samples.Frame with { At = "2026-01-31T23:59:59Z" }, ControlJson.Default.TopFrameDto);
        await terminal.WaitForAsync("23:59:59Z", before);
        before = terminal.Text.Length;
        terminal.Type("s");
        await terminal.WaitForAsync("\e[J", before);
        Assert.DoesNotContain("trying again", terminal.Text[terminal.Text.LastIndexOf("\e[H", StringComparison.Ordinal)..], StringComparison.Ordinal);
        terminal.Type("q");
        Assert.Equal(0, await terminal.EndAsync());
    }

    [Theory]
    [InlineData(40, 8)]
    [InlineData(80, 12)]
    [InlineData(200, 50)]
    public void Picture_fits_on_the_screen(int width, int height)
    {
        TopFrameDto frame = Samples.Frame with
        {
            Tenants = [.. Enumerable.Range(0, 40).Select(i => Samples.TopTenant($"tenant-{i}", i))],
            Sessions = [.. Enumerable.Range(1, 300).Select(i => Samples.TopSession(i, i, i))],
        };
        foreach (bool help in (bool[])[false, true])
        {
            IReadOnlyList<string> lines = TopView.Render(frame, new TopState { ShowsHelp = help, Scroll = 1000 }, width, height, UffdManager.Cli.Output.Palette.Plain);
            Assert.InRange(lines.Count, 1, height);
            Assert.All(lines, line => Assert.InRange(UffdManager.Cli.Output.Text.Width(line), 0, width));
        }
    }

    [Fact]
    public void Scrolling_ends_at_the_last_session()
    {
        TopFrameDto frame = Samples.Frame with { Sessions = [.. Enumerable.Range(1, 300).Select(i => Samples.TopSession(i, 1000 - i, i))] };
        TopState state = new();
        Assert.True(state.Obey(new ConsoleKeyInfo('\0', ConsoleKey.End, false, false, false), 10));
        IReadOnlyList<string> lines = TopView.Render(frame, state, 100, 30, UffdManager.Cli.Output.Palette.Plain);
        Assert.StartsWith("300 ", lines[^2].TrimStart(), StringComparison.Ordinal);
        Assert.Contains("-300 of 300", lines[^1], StringComparison.Ordinal);
        Assert.True(state.Obey(new ConsoleKeyInfo('\0', ConsoleKey.UpArrow, false, false, false), 10));
        Assert.StartsWith("299 ", TopView.Render(frame, state, 100, 30, UffdManager.Cli.Output.Palette.Plain)[^2].TrimStart(), StringComparison.Ordinal);
        Assert.False(state.Obey(new ConsoleKeyInfo('q', ConsoleKey.Q, false, false, false), 10));
    }

    private static string Ids(string picture)
    {
        string[] lines = picture.TrimEnd('\n').Split('\n');
        int header = Array.FindIndex(lines, line => line.TrimStart().StartsWith("ID", StringComparison.Ordinal));
        return string.Join(',', lines[(header + 1)..].Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[0]));
    }

    private static async Task PressAsync(PseudoTerminal terminal, string key, string shown)
    {
        int before = terminal.Text.Length;
        terminal.Type(key);
        await terminal.WaitForAsync(shown, before);
    }

    private FakeStream Frame() => _frames.Write(Samples.Frame, ControlJson.Default.TopFrameDto);

    // No pause of the test, however long, is one of the manager.
    private PseudoTerminal Start() => new(["top", "--socket", _control.SocketPath, "--request-timeout", "60s"], columns: 150);
}
