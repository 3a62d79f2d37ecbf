using UffdManager.Cli.Completion;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary>The completion scripts, run by the shells that they are for.</summary>
public sealed class CompletionTests : IDisposable
{
    private static readonly Dictionary<string, string[]> s_shells = new()
    {
        ["bash"] = ["bash", "--norc"],
        ["zsh"] = ["zsh", "-f"],
        ["fish"] = ["fish", "--no-config"],
    };

    private readonly FakeControl _control = FakeManager.Start();

    public static TheoryData<string> Shells { get; } = ["bash", "zsh", "fish"];

    public void Dispose() => _control.Dispose();

    [SkippableTheory]
    [MemberData(nameof(Shells))]
    public async Task Shell_proposes_every_command_and_every_option_of_the_command_line(string shell)
    {
        Require.That(IsInstalled(shell), $"{shell} is not installed");
        foreach (CompletionNode node in CompletionNode.Of(CommandLine.Build()).All)
        {
            if (node.Commands.Count > 0)
                Assert.Equal(node.Commands.Select(command => command.Name).Order(), await ProposeAsync(shell, $"{node.Path} "));
            IEnumerable<string> options = node.Options.Select(option => option.Names.Single(name => name.StartsWith("--", StringComparison.Ordinal)));
            Assert.Equal(options.Order(), (await ProposeAsync(shell, $"{node.Path} --")).Select(name => name.TrimEnd('=')));
        }
    }

    [SkippableTheory]
    [MemberData(nameof(Shells))]
    public async Task Shell_proposes_words_of_options_and_arguments(string shell)
    {
        Require.That(IsInstalled(shell), $"{shell} is not installed");
        Assert.Equal(["p50", "p99", "pid"], await ProposeAsync(shell, "uffdctl top --sort p"));
        Assert.Equal(["adopting", "condemned", "ended", "serving"], await ProposeAsync(shell, "uffdctl session list --state "));
        Assert.Equal(["critical", "debug", "error", "information", "none", "trace", "warning"], await ProposeAsync(shell, "uffdctl loglevel "));
        Assert.Equal(["bash", "fish", "zsh"], await ProposeAsync(shell, "uffdctl completion "));
        Assert.Equal(["tenant"], await ProposeAsync(shell, "uffdctl --request-timeout 5s --json ten"));
    }

    [SkippableTheory]
    [MemberData(nameof(Shells))]
    public async Task Shell_asks_the_manager_for_sessions_tenants_policies_and_regions(string shell)
    {
        Require.That(IsInstalled(shell), $"{shell} is not installed");
        Assert.Equal(["1", "12345", "2"], await ProposeOfManagerAsync(shell, "uffdctl session show "));
        Assert.Equal(["1", "12345", "2"], await ProposeOfManagerAsync(shell, "uffdctl session kill --yes 7 "));
        Assert.Equal(["1", "12345"], await ProposeOfManagerAsync(shell, "uffdctl region list --session 1"));
        Assert.Equal(["default"], await ProposeOfManagerAsync(shell, "uffdctl tenant show d"));
        Assert.Equal(["a-tenant-with-a-rather-long-name", "default"], await ProposeOfManagerAsync(shell, "uffdctl top --tenant "));
        Assert.Equal(["image", "zero"], await ProposeOfManagerAsync(shell, "uffdctl policy show "));
        Assert.Equal(["clean", "warm-python"], await ProposeOfManagerAsync(shell, "uffdctl image warm "));
        Assert.Equal(["web", "worker"], await ProposeOfManagerAsync(shell, "uffdctl snapshot stop w"));
        Assert.Equal(["1", "12345", "2"], await ProposeOfManagerAsync(shell, "uffdctl session snapshot --cancel "));
        Assert.Equal(["0x7f0000000000", "0x7fff00000000"], await ProposeOfManagerAsync(shell, "uffdctl region show 2 "));
        Assert.Equal("GET /v1/sessions/2/regions", _control.Requests.Last().Resource);
    }

    [SkippableTheory]
    [MemberData(nameof(Shells))]
    public async Task Shell_asks_at_the_socket_that_the_line_names(string shell)
    {
        Require.That(IsInstalled(shell), $"{shell} is not installed");
        Assert.Equal(["default"], await ProposeOfManagerAsync(shell, $"uffdctl --socket {_control.SocketPath} tenant show d", "/nowhere"));
        Assert.Equal(["default"], await ProposeOfManagerAsync(shell, $"uffdctl tenant show --socket={_control.SocketPath} d", "/nowhere"));
    }

    [SkippableTheory]
    [MemberData(nameof(Shells))]
    public async Task Shell_is_silent_when_the_manager_is(string shell)
    {
        Require.That(IsInstalled(shell), $"{shell} is not installed");
        Assert.Empty(await ProposeAsync(shell, "uffdctl session show ", "/nowhere"));
        _control.Hang("GET /v1/sessions");
        Assert.Empty(await ProposeAsync(shell, "uffdctl session show "));
        _control.AnswerBytes("GET /v1/sessions", "garbage\r\n\r\n");
        Assert.Empty(await ProposeAsync(shell, "uffdctl session show "));
    }

    [SkippableTheory]
    [MemberData(nameof(Shells))]
    public async Task Shell_proposes_files_where_files_are_wanted(string shell)
    {
        Require.That(IsInstalled(shell), $"{shell} is not installed");
        string file = _control.Directory.WriteFile("archive.tar.gz", ""u8);
        string line = $"uffdctl bundle --output {Path.GetDirectoryName(file)}/arch";
        Assert.EndsWith("archive.tar.gz", Assert.Single(await ProposeAsync(shell, line)), StringComparison.Ordinal);
    }

    private static bool IsInstalled(string shell) =>
        Environment.GetEnvironmentVariable("PATH")!.Split(':').Any(directory => File.Exists(Path.Combine(directory, shell)));

    // As below, of what the manager is asked for. Whoever presses Tab is kept waiting for two seconds at most: on a machine that is too busy for that the
    // answer is nothing, and one presses it again.
    private async Task<string[]> ProposeOfManagerAsync(string shell, string line, string? socket = null)
    {
        const int Attempts = 10;
        string[] words = [];
        for (int i = 0; i < Attempts && words.Length == 0; i++)
            words = await ProposeAsync(shell, line, socket);
        return words;
    }

    // What the shell proposes at the end of a line, in order of the bytes.
    private async Task<string[]> ProposeAsync(string shell, string line, string? socket = null)
    {
        string script = _control.Directory.Combine($"uffdctl.{shell}");
        string program = _control.Directory.Combine("uffdctl");
        if (!File.Exists(script))
        {
            await File.WriteAllTextAsync(program, $"#!/bin/sh\nexec {Uffdctl.Program[0]} '{Uffdctl.Program[1]}' \"$@\"\n");
            File.SetUnixFileMode(program, (UnixFileMode)0b111_101_101);
            Uffdctl printed = await Uffdctl.RunAsync("completion", shell);
            Assert.Equal((0, ""), (printed.ExitCode, printed.Error));
            await File.WriteAllTextAsync(script, printed.Output);
        }

        string asker = Path.Combine(NativeProgram.RepositoryRoot, "tests", "Cli", "Shells", $"complete.{shell}");
        Dictionary<string, string> environment = new()
        {
            ["UFFD_MANAGER_CONTROL"] = socket ?? _control.SocketPath,
            ["PATH"] = $"{_control.Directory.Path}:{Environment.GetEnvironmentVariable("PATH")}",
            ["HOME"] = _control.Directory.Path,
        };
        Uffdctl asked = await Uffdctl.RunAsync([asker, script, line], environment, _control.Directory.Path, s_shells[shell]);
        Assert.Equal((0, ""), (asked.ExitCode, asked.Error));
        return [.. asked.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(word => word.Trim()).Distinct().Order(StringComparer.Ordinal)];
    }
}
