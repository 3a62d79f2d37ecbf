using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests;

/// <summary>The exit codes of uffd-manager(8), and what goes to which stream, by really running the command.</summary>
public sealed class CommandLineTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData]
    [InlineData("frobnicate")]
    [InlineData("config")]
    [InlineData("config", "check", "surplus")]
    [InlineData("run", "--bogus")]
    [InlineData("run", "--config")]
    public async Task Command_line_that_is_not_understood_exits_64_and_leaves_standard_output_alone(params string[] arguments)
    {
        DaemonCommand command = await DaemonCommand.RunAsync(arguments);
        Assert.Equal(64, command.ExitCode);
        Assert.Empty(command.Output);
        Assert.StartsWith("uffd-manager: ", command.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--version")]
    [InlineData("--help")]
    public async Task Question_is_answered_on_standard_output(string argument)
    {
        DaemonCommand command = await DaemonCommand.RunAsync(argument);
        Assert.Equal(0, command.ExitCode);
        Assert.NotEmpty(command.Output);
        Assert.Empty(command.Error);
    }

    [Fact]
    public async Task Configuration_with_errors_exits_78_and_lists_them_all()
    {
        string file = _directory.WriteFile("config.json", """{ "metrics": { "port": -1 }, "listen": { "mode": "9" } }"""u8);
        foreach (string[] arguments in (string[][])[["run", "--config", file], ["config", "check", "--config", file], ["config", "show", "--config", file]])
        {
            DaemonCommand command = await DaemonCommand.RunAsync(arguments);
            Assert.Equal(78, command.ExitCode);
            Assert.Empty(command.Output);
            Assert.Contains("metrics.port: \"-1\" is not allowed", command.Error, StringComparison.Ordinal);
            Assert.Contains("listen.mode: \"9\" is not allowed", command.Error, StringComparison.Ordinal);
            Assert.Contains("tenants: none is configured", command.Error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Image_that_cannot_be_opened_exits_78()
    {
        string file = Write("""{ "policies": { "image": { "source": { "kind": "file", "path": "/nowhere/image" } } } }""");
        foreach (string[] arguments in (string[][])[["run", "--config", file], ["config", "check", "--config", file]])
        {
            DaemonCommand command = await DaemonCommand.RunAsync(arguments);
            Assert.Equal(78, command.ExitCode);
            Assert.Contains("policies.image.source.path: \"/nowhere/image\" cannot be used: ENOENT", command.Error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Valid_configuration_exits_0()
    {
        DaemonCommand command = await DaemonCommand.RunAsync("config", "check", "--config", Write("{}"));
        Assert.Equal(0, command.ExitCode);
        Assert.Empty(command.Output);
    }

    [Fact]
    public async Task Check_warns_of_what_is_allowed_but_probably_not_meant()
    {
        string file = Write("""
            { "listen": { "mode": "0666" }, "metrics": { "address": "0.0.0.0" },
              "tenants": { "t": { "match": { "uids": [1] }, "defaultPolicy": "zero", "sourceDirectories": ["/nowhere"] } } }
            """);
        DaemonCommand command = await DaemonCommand.RunAsync("config", "check", "--config", file);
        Assert.Equal(0, command.ExitCode);
        Assert.Contains("warning: listen.mode 0666 lets every user", command.Error, StringComparison.Ordinal);
        Assert.Contains("warning: metrics.address 0.0.0.0 is reachable", command.Error, StringComparison.Ordinal);
        Assert.Contains("warning: tenants.t.sourceDirectories: /nowhere does not exist", command.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Shown_configuration_is_one_document_in_which_the_environment_wins()
    {
        DaemonCommand command = await DaemonCommand.RunAsync(
            ["config", "show", "--config", Write("""{ "metrics": { "port": 1 } }""")],
            new()
            {
                ["UFFD_MANAGER__METRICS__PORT"] = "2",
                ["UFFD_MANAGER__tenants__everybody__match__uids"] = "7, 8",
                ["UFFD_MANAGER_SOCKET"] = "not a setting: one underscore",
            });
        Assert.Equal(0, command.ExitCode);
        using var document = JsonDocument.Parse(command.Output);
        Assert.Equal(2, document.RootElement.GetProperty("metrics").GetProperty("port").GetInt32());
        Assert.Equal("[7,8]", JsonSerializer.Serialize(
            document.RootElement.GetProperty("tenants").GetProperty("everybody").GetProperty("match").GetProperty("uids")));
    }

    [Fact]
    public async Task Shown_sources_name_file_environment_variable_and_default()
    {
        string file = Write("""{ "metrics": { "address": "::1" } }""");
        DaemonCommand command = await DaemonCommand.RunAsync(
            ["config", "show", "--sources", "--config", file], new() { ["UFFD_MANAGER__metrics__port"] = "2" });
        using var document = JsonDocument.Parse(command.Output);
        JsonElement metrics = document.RootElement.GetProperty("metrics");
        Assert.Equal(file, metrics.GetProperty("address").GetProperty("source").GetString());
        Assert.Equal("environment variable UFFD_MANAGER__metrics__port", metrics.GetProperty("port").GetProperty("source").GetString());
        Assert.Equal("default", metrics.GetProperty("enabled").GetProperty("source").GetString());
    }

    [Fact]
    public async Task Unknown_environment_variable_is_an_error()
    {
        DaemonCommand command = await DaemonCommand.RunAsync(
            ["config", "check", "--config", Write("{}")], new() { ["UFFD_MANAGER__METRICS__PROT"] = "2" });
        Assert.Equal(78, command.ExitCode);
        Assert.Contains("did you mean metrics.port? (from environment variable UFFD_MANAGER__METRICS__PROT)", command.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Metrics_port_in_use_exits_69()
    {
        using TcpListener taken = new(IPAddress.Loopback, 0);
        taken.Start();
        int port = ((IPEndPoint)taken.LocalEndpoint).Port;
        DaemonCommand command = await DaemonCommand.RunAsync("run", "--config", Write($$"""{ "metrics": { "port": {{port}} } }"""));
        Assert.Equal(69, command.ExitCode);
        Assert.Contains(port.ToString(), command.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Socket_that_another_manager_serves_exits_73()
    {
        using SafeSocketFd taken = UnixSocket.Listen(_directory.Combine("manager.sock"), UnixSocketType.SeqPacket, 1, 0x180);
        DaemonCommand command = await DaemonCommand.RunAsync("run", "--config", Write("{}"));
        Assert.Equal(73, command.ExitCode);
        Assert.Contains(_directory.Combine("manager.sock"), command.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Socket_below_a_file_exits_73()
    {
        string file = _directory.WriteFile("file", ""u8);
        DaemonCommand command = await DaemonCommand.RunAsync(
            ["run", "--config", Write("{}")], new() { ["UFFD_MANAGER__listen__socket"] = Path.Combine(file, "manager.sock") });
        Assert.Equal(73, command.ExitCode);
    }

    // The base configuration with changes on top, as one file.
    private string Write(string changes)
    {
        JsonObject document = JsonNode.Parse($$"""
            { "listen": { "socket": "{{_directory.Combine("manager.sock")}}" }, "metrics": { "port": 0 }, "policies": { "zero": {} },
              "tenants": { "everybody": { "default": true, "defaultPolicy": "zero" } } }
            """)!.AsObject();
        foreach ((string section, JsonNode? values) in JsonNode.Parse(changes)!.AsObject())
        {
            JsonObject target = document[section]?.AsObject() ?? [];
            document[section] = target;
            foreach ((string key, JsonNode? value) in values!.AsObject())
                target[key] = value?.DeepClone();
        }

        return _directory.WriteFile("config.json", Encoding.UTF8.GetBytes(document.ToJsonString()));
    }
}
