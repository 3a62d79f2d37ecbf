using System.Reflection;
using System.Text.RegularExpressions;
using UffdManager.Cli.Completion;
using UffdManager.Cli.Top;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary>uffdctl(1) says what the code does.</summary>
public sealed partial class ManualPageTests
{
    private static readonly string s_page = File.ReadAllText(Path.Combine(NativeProgram.RepositoryRoot, "docs", "man", "uffdctl.1"))
        .Replace("\\-", "-", StringComparison.Ordinal);

    [Fact]
    public void Exit_codes_of_the_manual_page_are_those_of_the_code()
    {
        int[] documented = [.. Code().Matches(Section("EXIT STATUS")).Select(match => int.Parse(match.Groups["code"].Value))];
        int[] inCode = [.. typeof(ExitCode).GetFields(BindingFlags.Public | BindingFlags.Static).Select(field => (int)field.GetRawConstantValue()!).Order()];
        Assert.Equal(inCode, documented);
    }

    [Fact]
    public void Commands_of_the_manual_page_are_those_of_the_code()
    {
        string[] inCode =
        [
            .. CompletionNode.Of(CommandLine.Build()).All.Where(node => node.Commands.Count == 0).Select(node => node.Path["uffdctl ".Length..]).Order(StringComparer.Ordinal),
        ];
        Assert.Equal(inCode, Paragraphs().Keys.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Options_of_each_command_in_the_manual_page_are_those_of_the_code()
    {
        string[] global = [.. GlobalOptions.All.Select(option => option.Name), "--help", "--version"];
        foreach (CompletionNode node in CompletionNode.Of(CommandLine.Build()).All.Where(node => node.Commands.Count == 0))
        {
            string[] own = [.. node.Options.Where(option => !option.Names.Any(global.Contains)).SelectMany(option => option.Names).Order(StringComparer.Ordinal)];
            string[] documented = [.. Defined(Paragraphs()[node.Path["uffdctl ".Length..]]).Order(StringComparer.Ordinal)];
            Assert.Equal((node.Path, string.Join(' ', own)), (node.Path, string.Join(' ', documented)));
        }
    }

    [Fact]
    public void Global_options_of_the_manual_page_are_those_of_the_code()
    {
        IEnumerable<string> inCode = CompletionNode.Of(CommandLine.Build()).Options.SelectMany(option => option.Names);
        Assert.Equal(inCode.Order(StringComparer.Ordinal), Defined(Section("OPTIONS")).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Orders_of_top_in_the_manual_page_are_those_of_the_code()
    {
        string[] documented = [.. Bold().Matches(SortParagraph().Match(Paragraphs()["top"]).Value).Select(match => match.Groups["word"].Value)];
        Assert.Equal(TopSort.All.Select(sort => sort.Name), documented);
    }

    [Fact]
    public void Defaults_of_the_manual_page_are_those_of_the_code()
    {
        Assert.Contains(GlobalOptions.DefaultSocket, s_page, StringComparison.Ordinal);
        Assert.Contains($".B {GlobalOptions.SocketVariable}", s_page, StringComparison.Ordinal);
        Assert.Contains($"Default: {GlobalOptions.DefaultTimeout.TotalSeconds:0}s", s_page, StringComparison.Ordinal);
    }

    private static string Section(string name)
    {
        int begin = s_page.IndexOf($".SH {name}\n", StringComparison.Ordinal);
        Assert.True(begin >= 0, $"the page has no section {name}");
        int end = s_page.IndexOf("\n.SH ", begin + 1, StringComparison.Ordinal);
        return s_page[begin..(end < 0 ? s_page.Length : end)];
    }

    // The part of each command: it begins with .SS and the command's words.
    private static Dictionary<string, string> Paragraphs() => Section("COMMANDS").Split("\n.SS ")[1..]
        .ToDictionary(part => part[..part.IndexOf('\n', StringComparison.Ordinal)].Trim('"'), StringComparer.Ordinal);

    // Options that have a paragraph of their own: the tags of .TP.
    private static IEnumerable<string> Defined(string part) => Tag().Matches(part).SelectMany(match => OptionName().Matches(match.Groups["tag"].Value)).Select(name => name.Value);

    [GeneratedRegex(@"^\.B (?<code>\d+)$", RegexOptions.Multiline | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Code();

    [GeneratedRegex(@"^\.TP\n(?<tag>.*)$", RegexOptions.Multiline | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Tag();

    [GeneratedRegex(@"(?<![a-z-])--?[a-z1][a-z-]*", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex OptionName();

    [GeneratedRegex(@"--sort(.|\n)*?\n\.TP", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex SortParagraph();

    [GeneratedRegex(@"^\.BR? (?<word>[a-z0-9]+)( [,.])?$", RegexOptions.Multiline | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Bold();
}
