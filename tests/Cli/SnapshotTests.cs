using System.Text.Json.Nodes;
using UffdManager.Control;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary>Serving snapshots and stopping to.</summary>
public sealed class SnapshotTests
{
    [Fact]
    public async Task Serve_sends_what_was_said_and_the_sockets_path_in_full()
    {
        using FakeControl control = FakeManager.Start();
        Uffdctl command = await Uffdctl.RunAsync(
        [
            "--socket", control.SocketPath, "snapshot", "serve", "--image", "web/mem.bin", "--tenant", "default", "--socket", "mem.sock", "--name", "web", "--policy", "image", "--protocol", "firecracker", "--owner", "1500:vms",
            "--mode", "0600", "--timeout", "2.5s", "--max-vms", "64", "--uid", "1500", "--uid", "1501", "--pid", "4711", "--cgroup", "/vms",
        ]);
        Assert.Equal((0, "Snapshot web is served at /run/vms/web.sock\n", ""), (command.ExitCode, command.Output, command.Error));
        Assert.Equal(
            """{"name":"web","image":"web/mem.bin","tenant":"default","policy":"image","socket":"/mem.sock","protocol":"firecracker","owner":"1500:vms","mode":"0600","timeoutSeconds":2.5,"maxVms":64,"match":{"uids":[1500,1501],"cgroups":["/vms"],"pids":[4711]}}""",
            JsonNode.Parse(Assert.Single(control.Requests).Body)!.ToJsonString());
    }

    [Fact]
    public async Task Serve_leaves_to_the_manager_what_was_not_said()
    {
        using FakeControl control = FakeManager.Start();
        Uffdctl command = await Uffdctl.RunAsync(
            ["snapshot", "serve", "--image", "i", "--tenant", "t", "--socket", "/s"], new() { ["UFFD_MANAGER_CONTROL"] = control.SocketPath });
        Assert.Equal(0, command.ExitCode);
        SnapshotDefinitionDto request = System.Text.Json.JsonSerializer.Deserialize(Assert.Single(control.Requests).Body, ControlJson.Default.SnapshotDefinitionDto)!;
        Assert.Equal(("i", "t", "/s"), (request.Image, request.Tenant, request.Socket));
        Assert.Null(request.Name ?? request.Policy ?? request.Protocol ?? request.Owner ?? request.Mode);
        Assert.Null(request.TimeoutSeconds ?? request.MaxVms);
        Assert.Empty((request.Match!.Uids ?? []).Concat(request.Match.Pids ?? []));
        Assert.Empty(request.Match.Cgroups ?? []);
    }

    [Theory]
    [InlineData("snapshot serve --tenant t --socket /s", "--image")]
    [InlineData("snapshot serve --image i --socket /s", "--tenant")]
    [InlineData("snapshot serve --image i --tenant t", "--socket")]
    [InlineData("snapshot serve --image i --tenant t --socket /s --max-vms 0", "--max-vms: '0' is not a whole number from 1")]
    [InlineData("snapshot serve --image i --tenant t --socket /s --uid -1", "--uid: '-1' is not a whole number")]
    [InlineData("snapshot serve --image i --tenant t --socket /s --timeout never", "'never' is not a duration")]
    [InlineData("snapshot show", "NAME")]
    public async Task Mistake_on_the_line_exits_64_and_says_which(string line, string error)
    {
        Uffdctl command = await Uffdctl.RunAsync(line.Split(' '), []);
        Assert.Equal(64, command.ExitCode);
        Assert.Contains(error, command.Error, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Stop_says_how_many_go_on()
    {
        using FakeControl control = FakeManager.Start();
        Uffdctl command = await Uffdctl.RunAsync(control, "snapshot", "stop", "web");
        Assert.Equal((0, "Snapshot web is not served any more; 2 VMs go on\n"), (command.ExitCode, command.Output));
    }
}
