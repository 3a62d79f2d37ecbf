using System.Formats.Tar;
using System.IO.Compression;
using System.Text.Json.Nodes;
using UffdManager.EndToEnd.Tests;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Cli.Tests.Real;

/// <summary>Looking at a real manager, which changes nothing there.</summary>
public sealed class LookingTests(ManagerFixture manager) : IClassFixture<ManagerFixture>
{
    private const uint Nobody = 65534;

    private string Start => $"0x{manager.Address:x}";

    [SkippableFact]
    public async Task Status_tells_of_the_manager()
    {
        ManagerFixture.Required();
        Uffdctl command = await manager.RunAsync("status");
        Assert.Equal((0, ""), (command.ExitCode, command.Error));
        Assert.Contains($"process {manager.Daemon.Pid}, up ", command.Output, StringComparison.Ordinal);
        Assert.Matches(@"Phase: +ready\n", command.Output);
        Assert.Contains(manager.Daemon.SocketPath, command.Output, StringComparison.Ordinal);
        JsonNode status = await ReadAsync("status");
        Assert.Equal((1, (long)(ManagerFixture.Pages * ManagerFixture.PageBytes)), ((long)status["totals"]!["sessions"]!, (long)status["totals"]!["registeredBytes"]!));
    }

    [SkippableFact]
    public async Task Session_is_listed_and_shown()
    {
        ManagerFixture.Required();
        Uffdctl list = await manager.RunAsync("session", "list", "--pid", $"{manager.Client.Pid}", "--tenant", "everybody", "--state", "serving");
        string[] fields = list.Output.Split('\n')[1].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal([$"{manager.Session}", $"{manager.Client.Pid}"], fields[..2]);
        Assert.Contains("256KiB", fields);
        Assert.Contains("64KiB", fields);

        JsonNode session = await ReadAsync("session", "show", $"{manager.Session}");
        Assert.Equal((manager.Client.Pid, (long)ManagerFixture.Pages / 4), ((int)session["pid"]!, (long)session["faults"]!));
        Uffdctl shown = await manager.RunAsync("session", "show", $"{manager.Session}");
        Assert.Matches(@"Resident: +64KiB, 25%\n", shown.Output);
        Assert.Equal(66, (await manager.RunAsync("session", "show", "999999")).ExitCode);
        Assert.Single((await manager.RunAsync("session", "list", "--pid", "1")).Output.TrimEnd('\n').Split('\n'));
    }

    [SkippableFact]
    public async Task Region_is_listed_and_drawn()
    {
        ManagerFixture.Required();
        foreach (string[] filter in (string[][])[[], ["--session", $"{manager.Session}"], ["--tenant", "everybody"]])
            Assert.Contains($"{Start}  256KiB", (await manager.RunAsync(["region", "list", .. filter])).Output, StringComparison.Ordinal);

        Uffdctl map = await manager.RunAsync("region", "show", $"{manager.Session}", $"{manager.Address + 5000}", "--cells", "64");
        Assert.Equal((0, ""), (map.ExitCode, map.Error));
        Assert.Contains($"{Start}  {new string('#', 16)}{new string('.', 48)}\n", map.Output, StringComparison.Ordinal);
        Assert.Equal(66, (await manager.RunAsync("region", "show", $"{manager.Session}", "0x1000")).ExitCode);
    }

    [SkippableFact]
    public async Task Tenants_and_policies_are_listed_and_shown()
    {
        ManagerFixture.Required();
        Assert.Matches(@"\neverybody +1 +1 +256KiB +64KiB ", (await manager.RunAsync("tenant", "list")).Output);
        Uffdctl tenant = await manager.RunAsync("tenant", "show", "everybody");
        Assert.Matches(@"\nsessions +1 +1024 +<0.1%\n", tenant.Output);
        Assert.Contains("16 zeroed", tenant.Output, StringComparison.Ordinal);
        Assert.Matches(@"\nzero-around +1 +zero +64KiB ", (await manager.RunAsync("policy", "list")).Output);
        Assert.Matches("On unavailable: +poison\n", (await manager.RunAsync("policy", "show", "poison")).Output);
        Assert.Equal(66, (await manager.RunAsync("tenant", "show", "nobody")).ExitCode);
        Assert.Equal(66, (await manager.RunAsync("policy", "show", "nothing")).ExitCode);
        Assert.Equal(64, (await manager.RunAsync("tenant", "show")).ExitCode);
    }

    [SkippableFact]
    public async Task Configuration_is_shown_with_its_sources()
    {
        ManagerFixture.Required();
        JsonNode document = JsonNode.Parse((await manager.RunAsync("config", "show")).Output)!;
        Assert.Equal(manager.Daemon.SocketPath, (string)document["listen"]!["socket"]!);
        Uffdctl sources = await manager.RunAsync("config", "show", "--sources");
        Assert.Matches(@"\nlisten\.socket +""[^""]+"" +environment variable UFFD_MANAGER__listen__socket\n", sources.Output);
        Assert.Matches(@"\npolicies\.poison\.onUnavailable +""poison"" +[^ ]+config\.json\n", sources.Output);
        Assert.Matches(@"\nmetrics\.enabled +true +default\n", sources.Output);
    }

    [SkippableFact]
    public async Task Top_shows_tenant_session_and_loops()
    {
        ManagerFixture.Required();
        Uffdctl top = await manager.RunAsync("top", "--once", "--interval", "200ms", "--sort", "resident");
        Assert.Equal((0, ""), (top.ExitCode, top.Error));
        Assert.Matches(@"\neverybody +1 +", top.Output);
        Assert.Matches($@"\n *{manager.Session} +{manager.Client.Pid} ", top.Output);

        Uffdctl stream = await manager.RunAsync("top", "--count", "2", "-i", "100ms", "--json", "--tenant", "everybody");
        string[] frames = stream.Output.TrimEnd('\n').Split('\n');
        Assert.Equal(2, frames.Length);
        Assert.All(frames, frame => Assert.Equal(manager.Session, (long)JsonNode.Parse(frame)!["sessions"]![0]!["id"]!));
    }

    [SkippableFact]
    public async Task Top_on_a_terminal_shows_the_session_until_it_is_left()
    {
        ManagerFixture.Required();
        using PseudoTerminal terminal = new(["top", "--interval", "100ms", "--socket", manager.ControlSocket], columns: 120);
        await terminal.WaitForAsync("everybody");
        await terminal.WaitForAsync($"{manager.Client.Pid}");
        terminal.Type("q");
        Assert.Equal(0, await terminal.EndAsync());
        Assert.True(terminal.IsRestored, terminal.Text);
    }

    [SkippableFact]
    public async Task Bundle_is_an_archive_with_a_manifest()
    {
        ManagerFixture.Required();
        using TempDirectory directory = new();
        string file = directory.Combine("bundle.tar.gz");
        Uffdctl command = await manager.RunAsync("bundle", "-o", file);
        Assert.Equal((0, ""), (command.ExitCode, command.Error));
        await using GZipStream unzipped = new(File.OpenRead(file), CompressionMode.Decompress);
        await using TarReader archive = new(unzipped);
        List<string> names = [];
        while (await archive.GetNextEntryAsync() is { } entry)
            names.Add(Path.GetFileName(entry.Name));
        Assert.Contains("manifest.json", names);
        Assert.Contains("status.json", names);
        Assert.Contains("log.txt", names);
    }

    [SkippableFact]
    public async Task Reader_may_look_and_not_change()
    {
        ManagerFixture.Required();
        Require.That(await DaemonProcess.IsReadableByAsync(Nobody), "the build lies below a directory that other users may not enter");
        Assert.Equal(0, (await RunAsNobodyAsync("session", "list")).ExitCode);
        foreach (string[] change in (string[][])[["session", "kill", "1", "2", "--yes"], ["drain"], ["drain", "--cancel"], ["loglevel", "debug"], ["reload"], ["bundle", "-o", "/dev/null"]])
        {
            Uffdctl refused = await RunAsNobodyAsync(change);
            Assert.Equal((string.Join(' ', change), 77), (string.Join(' ', change), refused.ExitCode));
            Assert.StartsWith("uffdctl: ", refused.Error, StringComparison.Ordinal);
        }
    }

    private async Task<JsonNode> ReadAsync(params string[] arguments)
    {
        Uffdctl command = await manager.RunAsync([.. arguments, "--json"]);
        Assert.Equal((0, ""), (command.ExitCode, command.Error));
        return JsonNode.Parse(command.Output)!;
    }

    private Task<Uffdctl> RunAsNobodyAsync(params string[] arguments) => Uffdctl.RunAsync(
        [.. arguments, "--socket", manager.ControlSocket], [], "/", ["setpriv", "--reuid", $"{Nobody}", "--regid", $"{Nobody}", "--clear-groups", .. Uffdctl.Program]);
}
