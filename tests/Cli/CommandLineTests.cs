using System.CommandLine;
using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary>Lines that are understood and lines that are not, by really running the command.</summary>
public sealed class CommandLineTests
{
    [Theory]
    [InlineData]
    [InlineData("session")]
    [InlineData("sesion")]
    [InlineData("session", "list", "surplus")]
    [InlineData("session", "list", "--bogus")]
    [InlineData("session", "list", "--state", "happy")]
    [InlineData("session", "list", "--pid", "x")]
    [InlineData("session", "show", "-1")]
    [InlineData("session", "kill")]
    [InlineData("session", "kill", "1", "x")]
    [InlineData("region", "list", "--session", "1", "--tenant", "t")]
    [InlineData("region", "show", "1", "here")]
    [InlineData("region", "show", "1", "0x1000", "--cells", "5000")]
    [InlineData("top", "--interval", "99ms")]
    [InlineData("top", "--interval", "61s")]
    [InlineData("top", "--sort", "colour")]
    [InlineData("top", "--limit", "1001")]
    [InlineData("top", "--once", "--count", "2")]
    [InlineData("drain", "--cancel", "--timeout", "5s")]
    [InlineData("drain", "--timeout", "never")]
    [InlineData("loglevel", "loud")]
    [InlineData("loglevel", "--category", "x=loud")]
    [InlineData("status", "--request-timeout", "0s")]
    [InlineData("status", "--socket")]
    [InlineData("completion", "tcsh")]
    [InlineData("@response")]
    public async Task Command_line_that_is_not_understood_exits_64_and_leaves_standard_output_alone(params string[] arguments)
    {
        Uffdctl command = await Uffdctl.RunAsync(arguments);
        Assert.Equal(64, command.ExitCode);
        Assert.Empty(command.Output);
        Assert.StartsWith("uffdctl: ", command.Error, StringComparison.Ordinal);
        Assert.Matches("Try 'uffdctl[a-z ]* --help'", command.Error);
        Assert.DoesNotContain("System.", command.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("sesion", "did you mean session?")]
    [InlineData("--jsno", "did you mean --json?")]
    public async Task Misspelt_word_is_answered_with_the_right_one(string word, string question)
    {
        Uffdctl command = await Uffdctl.RunAsync(word);
        Assert.Contains(question, command.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Every_command_answers_help_on_standard_output()
    {
        // In this process: that the text is printed by the program too, the next test shows.
        foreach (string path in Commands(CommandLine.Build()))
        {
            using StringWriter output = new();
            int code = await CommandLine.Build().Parse([.. path.Split(' ')[1..], "--help"]).InvokeAsync(new InvocationConfiguration { Output = output });
            Assert.Equal(0, code);
            Assert.Contains("Usage:", output.ToString(), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("--version")]
    [InlineData("--help")]
    [InlineData("session", "kill", "-h")]
    public async Task Question_about_the_program_needs_no_manager(params string[] arguments)
    {
        Uffdctl command = await Uffdctl.RunAsync(arguments, new() { ["UFFD_MANAGER_CONTROL"] = "/nowhere" });
        Assert.Equal(0, command.ExitCode);
        Assert.NotEmpty(command.Output);
        Assert.Empty(command.Error);
    }

    [Fact]
    public async Task Socket_comes_from_the_option_before_the_environment()
    {
        using FakeControl control = FakeManager.Start();
        Uffdctl byVariable = await Uffdctl.RunAsync(["status"], new() { ["UFFD_MANAGER_CONTROL"] = control.SocketPath });
        Assert.Equal(0, byVariable.ExitCode);
        Uffdctl byOption = await Uffdctl.RunAsync(["--socket", control.SocketPath, "status"], new() { ["UFFD_MANAGER_CONTROL"] = "/nowhere" });
        Assert.Equal(0, byOption.ExitCode);
        Assert.Equal(2, control.Requests.Count);
    }

    [Theory]
    [InlineData("500ms", 500)]
    [InlineData("2s", 2000)]
    [InlineData("2", 2000)]
    [InlineData("1.5m", 90000)]
    [InlineData("1h", 3600000)]
    public void Durations_are_written_as_in_the_configuration(string text, double milliseconds)
    {
        Assert.True(DurationArgument.TryParse(text, out TimeSpan duration));
        Assert.Equal(milliseconds, duration.TotalMilliseconds);
    }

    [Theory]
    [InlineData("")]
    [InlineData("s")]
    [InlineData("0s")]
    [InlineData("-1s")]
    [InlineData("1e3s")]
    [InlineData("1 s")]
    [InlineData("99999h")]
    [InlineData("1d")]
    public void Text_that_is_no_duration_is_refused(string text) => Assert.False(DurationArgument.TryParse(text, out _));

    internal static IEnumerable<string> Commands(RootCommand root) => Completion.CompletionNode.Of(root).All.Select(node => node.Path);
}
