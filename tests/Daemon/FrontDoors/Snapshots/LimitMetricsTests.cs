using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>A limit of connections that makes VMs wait, or ends one, is seen by operators: in the metrics of the running daemon, and in a line that names the remedy.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class LimitMetricsTests : IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly byte[] _image = new byte[64 << 10];

    public LimitMetricsTests() => new Random(17).NextBytes(_image);

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("\"maxConnections\": 1", "", "listener_full", "raise listen.maxConnections")]
    [InlineData("", "\"connections\": 1", "connection_limit", "raise tenants.vms.limits.connections")]
    public async Task Limit_that_makes_a_vm_wait_is_counted_and_its_line_names_the_remedy(string listen, string limits, string reason, string remedy)
    {
        await using DaemonProcess daemon = await StartAsync(listen, limits, "");
        string counter = $"uffd_manager_admission_pauses_total{{door=\"snapshot\",reason=\"{reason}\"}}";
        Assert.Equal(0, await ValueAsync(daemon, counter));
        using SafeSocketFd silent = UnixSocket.Connect(Other, UnixSocketType.Stream);
        await AwaitOpenAsync(daemon);

        // A limit that is reached is none that makes anybody wait.
        Assert.Equal(0, await ValueAsync(daemon, counter));
        Assert.DoesNotContain(daemon.LogLines, line => line.Contains(remedy, StringComparison.Ordinal));
        using EmulatedVm vm = EmulatedVm.Boot(Socket, (ulong)_image.Length).HandOver();

        await daemon.WaitForLogAsync(remedy);
        Assert.True(await ValueAsync(daemon, counter) > 0);
        Assert.Equal(0, await ValueAsync(daemon, "uffd_manager_vms_killed_total{door=\"snapshot\",reason=\"limit\"}"));
        silent.Dispose();
        vm.AssertHolds(_image);
    }

    [Fact]
    public async Task Limit_that_ends_a_vm_is_counted_and_its_line_names_the_remedy()
    {
        await using DaemonProcess daemon = await StartAsync(
            "", "\"connections\": 1", $$""", "rest": { "image": "mem.bin", "tenant": "rest", "socket": "{{Socket}}", "timeout": "1s", "match": { "uids": [65534] } }""");
        using SafeSocketFd silent = UnixSocket.Connect(Other, UnixSocketType.Stream);
        await AwaitOpenAsync(daemon);

        // The time runs from when it is accepted: its message must have been sent by then.
        daemon.Suspend();
        using EmulatedVm vm = EmulatedVm.Boot(Socket, (ulong)_image.Length).HandOver();
        daemon.Continue();

        vm.AssertKilled();
        Assert.Contains("raise tenants.vms.limits.connections", await daemon.WaitForLogAsync("VM killed at its hand-over"), StringComparison.Ordinal);
        Assert.Equal(1, await ValueAsync(daemon, "uffd_manager_vms_killed_total{door=\"snapshot\",reason=\"limit\"}"));
        Assert.Equal(1, await ValueAsync(daemon, "uffd_manager_peers_refused_total{door=\"snapshot\",reason=\"connection_limit\"}"));
    }

    private string Socket => _directory.Combine("fc.sock");

    private string Other => _directory.Combine("other.sock");

    private Task<DaemonProcess> StartAsync(string listen, string limits, string more)
    {
        _directory.WriteFile("mem.bin", _image);
        return DaemonProcess.StartAsync(
            $$"""
            {
              "listen": { {{listen}} },
              "policies": { "vm": { "source": { "kind": "client" } } },
              "tenants": {
                "vms": { "default": true, "defaultPolicy": "vm", "sourceDirectories": ["{{_directory.Path}}"], "limits": { {{limits}} } },
                "rest": { "match": { "uids": [65534] }, "defaultPolicy": "vm" }
              },
              "snapshots": {
                "web": { "image": "mem.bin", "tenant": "vms", "socket": "{{Socket}}", "timeout": "1s" },
                "other": { "image": "mem.bin", "tenant": "vms", "socket": "{{Other}}", "timeout": "60s" }{{more}}
              }
            }
            """);
    }

    private static async Task AwaitOpenAsync(DaemonProcess daemon)
    {
        using CancellationTokenSource patience = new(Eventually.DefaultDeadline);
        while (await ValueAsync(daemon, "uffd_manager_connections{door=\"snapshot\",tenant=\"vms\"}") != 1)
            patience.Token.ThrowIfCancellationRequested();
    }

    private static async Task<double> ValueAsync(DaemonProcess daemon, string series) => (await daemon.GetAsync("metrics")).Split('\n')
        .Where(line => line.StartsWith(series + " ", StringComparison.Ordinal))
        .Select(line => double.Parse(line[(series.Length + 1)..], System.Globalization.CultureInfo.InvariantCulture))
        .SingleOrDefault();
}
