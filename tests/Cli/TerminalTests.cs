using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary>Colours and widths where output is a terminal.</summary>
public sealed class TerminalTests
{
    [Fact]
    public async Task Terminal_gets_colours_and_its_own_width()
    {
        using FakeControl control = FakeManager.Start();
        using PseudoTerminal terminal = new(["session", "list", "--socket", control.SocketPath], columns: 80);
        Assert.Equal(0, await terminal.EndAsync());
        Assert.Contains("\e[1m   ID", terminal.Text, StringComparison.Ordinal);
        Assert.Contains("\e[32mserving\e[0m", terminal.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("LABEL", terminal.Text, StringComparison.Ordinal);
        Assert.True(terminal.IsRestored);
    }

    [Theory]
    [InlineData("--no-color", "", "xterm")]
    [InlineData(null, "1", "xterm")]
    [InlineData(null, "", "dumb")]
    public async Task Colours_can_be_forbidden(string? option, string noColor, string term)
    {
        using FakeControl control = FakeManager.Start();
        using PseudoTerminal terminal = new(
            ["session", "list", "--socket", control.SocketPath, .. option is null ? Array.Empty<string>() : [option]],
            environment: new() { ["NO_COLOR"] = noColor, ["TERM"] = term });
        Assert.Equal(0, await terminal.EndAsync());
        Assert.DoesNotContain("\e[3", terminal.Text, StringComparison.Ordinal);
        Assert.Contains("serving", terminal.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Map_of_a_region_is_coloured_by_runs()
    {
        using FakeControl control = FakeManager.Start();
        using PseudoTerminal terminal = new(["region", "show", "1", "0x7f0000000000", "--cells", "128", "--socket", control.SocketPath], columns: 60);
        Assert.Equal(0, await terminal.EndAsync());

        // 32 cells a line are what fits, and one sequence serves them all.
        Assert.Contains($"0x7f0000000000  \e[32m{new string('#', 32)}\e[0m\r\n", terminal.Text, StringComparison.Ordinal);
        Assert.Contains("\e[31mXX\e[0m", terminal.Text, StringComparison.Ordinal);
    }
}
