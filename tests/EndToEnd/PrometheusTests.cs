using System.Text;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests;

/// <summary>A real Prometheus watches the real daemon while a real client faults.</summary>
public sealed class PrometheusTests
{
    private const ulong PageSize = 4096;
    private const string Tenant = "{tenant=\"everybody\"}";

    [SkippableFact]
    public async Task Prometheus_sees_sessions_come_faults_rise_and_sessions_go()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using PrometheusProcess prometheus = await PrometheusProcess.StartAsync(daemon.MetricsUri);
        await prometheus.UntilAsync("uffd_manager_build_info", value => value == 1);

        using (ClientProcess client = ClientProcess.Start())
        {
            (WireConnection connection, _) = WireConnection.Attach(client, daemon.SocketPath);
            using (connection)
            {
                ulong address = client.Map("anon", 1024 * PageSize).Address;
                connection.Ask<RegisteredMessage>(WireConnection.Register(address, 1024 * PageSize));
                client.Run($"touch {address} {256 * PageSize}");

                await prometheus.UntilAsync("uffd_manager_sessions" + Tenant, value => value == 1);
                await prometheus.UntilAsync("uffd_manager_regions" + Tenant, value => value == 1);
                await prometheus.UntilAsync("uffd_manager_connections{door=\"native\",tenant=\"everybody\"}", value => value == 1);
                await prometheus.UntilAsync("uffd_manager_registered_bytes" + Tenant, value => value == 1024 * PageSize);
                await prometheus.UntilAsync("uffd_manager_resident_bytes" + Tenant, value => value == 256 * PageSize);
                await prometheus.UntilAsync("sum(uffd_manager_faults_total)", value => value == 256);
                await prometheus.UntilAsync("sum(uffd_manager_fault_duration_seconds_count)", value => value == 256);

                client.Run($"touch {address + (256 * PageSize)} {256 * PageSize}");
                await prometheus.UntilAsync(
                    "uffd_manager_faults_total{tenant=\"everybody\",kind=\"missing\",outcome=\"zeroed\"}", value => value == 512);
                await prometheus.UntilAsync("sum(rate(uffd_manager_faults_total[20s]))", value => value > 0);

                double median = await prometheus.UntilAsync(
                    "histogram_quantile(0.5, sum by (le) (uffd_manager_fault_duration_seconds_bucket" + Tenant + "))", value => value > 0);
                double tail = await prometheus.UntilAsync(
                    "histogram_quantile(0.999, sum by (le) (uffd_manager_fault_duration_seconds_bucket" + Tenant + "))", value => value > 0);
                Assert.InRange(median, 1e-7, 1);
                Assert.InRange(tail, median, 10);

                await prometheus.UntilAsync(
                    "uffd_manager_requests_total{door=\"native\",request=\"register\",outcome=\"ok\"}", value => value == 1);
                await prometheus.UntilAsync("sum(uffd_manager_loop_busy_seconds_total)", value => value > 0);
                Assert.Equal("", await PrometheusProcess.LintAsync(await daemon.GetAsync("metrics")));
            }

            client.Kill();
        }

        await prometheus.UntilAsync("uffd_manager_sessions" + Tenant, value => value == 0);
        await prometheus.UntilAsync("uffd_manager_registered_bytes" + Tenant, value => value == 0);
        await prometheus.UntilAsync("uffd_manager_sessions_ended_total{tenant=\"everybody\",reason=\"client_exited\"}", value => value == 1);
        await prometheus.UntilAsync("uffd_manager_connections{door=\"native\",tenant=\"everybody\"}", value => value == 0);
    }

    [SkippableFact]
    public async Task Prometheus_sees_broken_messages_and_conflicts_by_reason()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using PrometheusProcess prometheus = await PrometheusProcess.StartAsync(daemon.MetricsUri);
        await prometheus.UntilAsync("sum(uffd_manager_protocol_errors_total)", value => value == 0);

        using ClientProcess client = ClientProcess.Start();
        using (SafeSocketFd raw = UnixSocket.Connect(daemon.SocketPath, UnixSocketType.SeqPacket))
            Assert.Equal(Errno.OK, UnixSocket.Send(raw, Encoding.ASCII.GetBytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), [], dontWait: false));
        await prometheus.UntilAsync("uffd_manager_protocol_errors_total{door=\"native\",reason=\"bad_magic\"}", value => value == 1);

        (WireConnection first, _) = WireConnection.Attach(client, daemon.SocketPath);
        (WireConnection second, _) = WireConnection.Attach(client, daemon.SocketPath);
        using (first)
        using (second)
        {
            ulong address = client.Map("anon", 16 * PageSize).Address;
            first.Ask<RegisteredMessage>(WireConnection.Register(address, 16 * PageSize));
            Assert.Equal((int)Errno.EBUSY, second.Ask<ErrorMessage>(WireConnection.Register(address, 16 * PageSize)).Errno);
            await prometheus.UntilAsync("sum(uffd_manager_conflicts_total" + Tenant + ")", value => value == 1);
            await prometheus.UntilAsync(
                "uffd_manager_requests_total{door=\"native\",request=\"register\",outcome=\"conflict\"}", value => value == 1);
        }
    }

    [Fact]
    public async Task Reloads_show_whether_the_last_one_was_taken()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await File.WriteAllTextAsync(daemon.ConfigurationPath, "{ not json");
        daemon.Reload();
        await UntilLineAsync(daemon, "uffd_manager_configuration_last_reload_successful 0");

        await File.WriteAllTextAsync(daemon.ConfigurationPath, DaemonProcess.DefaultConfiguration);
        daemon.Reload();
        await UntilLineAsync(daemon, "uffd_manager_configuration_last_reload_successful 1");
        Assert.Contains("uffd_manager_configuration_reloads_total{outcome=\"refused\"} 1\n", await daemon.GetAsync("metrics"), StringComparison.Ordinal);
        Assert.Contains("uffd_manager_configuration_reloads_total{outcome=\"ok\"} 1\n", await daemon.GetAsync("metrics"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Daemon_is_healthy_and_ready_while_it_runs()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        Assert.Equal("healthy\n", await daemon.GetAsync("healthz"));
        Assert.Equal("ready\n", await daemon.GetAsync("readyz"));
    }

    [Fact]
    public async Task Daemon_exits_with_69_when_its_metrics_port_is_taken()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        string port = daemon.MetricsUri.Port.ToString(System.Globalization.CultureInfo.InvariantCulture);
        Exception failure = await Assert.ThrowsAnyAsync<Exception>(
            () => DaemonProcess.StartAsync(environment: new Dictionary<string, string> { ["UFFD_MANAGER__metrics__port"] = port }));
        Assert.Contains("the daemon exited with 69", failure.Message, StringComparison.Ordinal);
        Assert.Contains($"cannot listen on 127.0.0.1 port {port}: Address already in use", failure.Message, StringComparison.Ordinal);
    }

    private static async Task UntilLineAsync(DaemonProcess daemon, string line)
    {
        using CancellationTokenSource deadline = new(Eventually.DefaultDeadline);
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(50));
        while (!(await daemon.GetAsync("metrics")).Contains(line + "\n", StringComparison.Ordinal))
            await timer.WaitForNextTickAsync(deadline.Token);
    }
}
