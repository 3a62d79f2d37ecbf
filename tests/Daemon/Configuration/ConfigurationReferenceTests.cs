using System.Text.RegularExpressions;
using UffdManager.Daemon.Configuration;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Configuration;

/// <summary>The schema, the manual page and the code say the same.</summary>
public sealed partial class ConfigurationReferenceTests
{
    private static string Read(params string[] path) => File.ReadAllText(Path.Combine([NativeProgram.RepositoryRoot, .. path]));

    [Fact]
    public void Schema_in_the_repository_is_the_one_that_the_daemon_prints() =>
        Assert.Equal(Read("docs", "config.schema.json"), ConfigurationSchema.Write());

    [Fact]
    public void Manual_page_names_every_key_with_its_default_and_no_other()
    {
        string[] documented = [.. Entry().Matches(Read("docs", "man", "uffd-manager.conf.5"))
            .Select(match => $"{match.Groups["key"].Value} = {match.Groups["default"].Value}".Replace("\\-", "-", StringComparison.Ordinal))];
        string[] inCode = [.. Settings.All.Select(setting => $"{setting.Path} = {DefaultInWords(setting)}")];
        Assert.Equal(inCode, documented);
    }

    [Fact]
    public void Manual_page_says_what_each_key_allows()
    {
        string page = Unbroken().Replace(Read("docs", "man", "uffd-manager.conf.5").Replace("\\-", "-", StringComparison.Ordinal), " ");
        Assert.All(Settings.All, setting => Assert.Contains(
            $"{setting.Description} Allowed: {setting.Allowed}.", page[page.IndexOf($"\\fB{setting.Path}\\fR", StringComparison.Ordinal)..], StringComparison.Ordinal));
    }

    private static string DefaultInWords(Setting setting) => setting switch
    {
        { Required: true } => "required",
        { Default: null } => "none",
        { IsList: true } => "empty",
        _ => setting.Default,
    };

    [GeneratedRegex(@"^\.TP\n\\fB(?<key>[^\\]*(\\-[^\\]*)*)\\fR \((default \\fB(?<default>.*)\\fR|(?<default>required))\)$", RegexOptions.Multiline | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Entry();

    [GeneratedRegex(@"\n", RegexOptions.None, 1000)]
    private static partial Regex Unbroken();
}
