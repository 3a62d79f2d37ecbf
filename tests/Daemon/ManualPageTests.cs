using System.Reflection;
using System.Text.RegularExpressions;
using UffdManager.Daemon.Cli;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests;

/// <summary>uffd-manager(8) says what the code does.</summary>
public sealed partial class ManualPageTests
{
    private static readonly string s_page = File.ReadAllText(Path.Combine(NativeProgram.RepositoryRoot, "docs", "man", "uffd-manager.8"));

    [Fact]
    public void Exit_codes_of_the_manual_page_are_those_of_the_code()
    {
        string section = s_page[s_page.IndexOf(".SH EXIT STATUS", StringComparison.Ordinal)..s_page.IndexOf(".SH ENVIRONMENT", StringComparison.Ordinal)];
        int[] documented = [.. Code().Matches(section).Select(match => int.Parse(match.Groups["code"].Value))];
        int[] inCode = [.. typeof(ExitCode).GetFields(BindingFlags.Public | BindingFlags.Static).Select(field => (int)field.GetRawConstantValue()!).Order()];
        Assert.Equal(inCode, documented);
    }

    [Theory]
    [InlineData("--help")]
    [InlineData("run", "--help")]
    [InlineData("config", "show", "--help")]
    public async Task Every_option_of_the_help_is_in_the_manual_page(params string[] arguments)
    {
        DaemonCommand command = await DaemonCommand.RunAsync(arguments);
        string[] options = [.. Option().Matches(command.Output).Select(match => match.Value).Distinct()];
        Assert.NotEmpty(options);
        Assert.All(options, option => Assert.Contains(option.Replace("-", "\\-", StringComparison.Ordinal), s_page, StringComparison.Ordinal));
    }

    [GeneratedRegex(@"^\.B (?<code>\d+)$", RegexOptions.Multiline | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Code();

    [GeneratedRegex(@"--[a-z-]+", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Option();
}
