using UffdManager.Engine.Telemetry;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Telemetry;

/// <summary>What a real Prometheus makes of the endpoint, with numbers that the test knows exactly.</summary>
[Collection(TelemetryHost.Collection)]
public class PrometheusTests
{
    [SkippableFact]
    public async Task Promtool_finds_nothing_to_complain_of()
    {
        await using var host = await TelemetryHost.StartAsync();
        PipelineTests.FillEngine(host);
        PipelineTests.FillDoors(host);
        Assert.Equal("", await PrometheusProcess.LintAsync(await host.Http.GetStringAsync("/metrics")));
    }

    [SkippableFact]
    public async Task Promtool_would_complain_of_a_bad_name()
    {
        string complaints = await PrometheusProcess.LintAsync("# HELP bad_count Bad.\n# TYPE bad_count counter\nbad_count 1\n");
        Assert.Contains("counter metrics should have \"_total\" suffix", complaints, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Prometheus_returns_the_values_that_were_exported()
    {
        await using var host = await TelemetryHost.StartAsync();
        PipelineTests.FillEngine(host);
        for (int i = 0; i < 99; i++)
        {
            host.Engine.Enqueue(0, FaultKind.Missing, FaultOutcome.Copied, 3000);
        }

        await using var prometheus = await PrometheusProcess.StartAsync(host.Address);
        Assert.Equal(3, await prometheus.UntilAsync("uffd_manager_sessions{tenant=\"web\"}", v => v == 3));
        Assert.Equal(1L << 40, await prometheus.UntilAsync("sum(uffd_manager_registered_bytes)", v => v > 0));
        Assert.Equal(1, await prometheus.UntilAsync("uffd_manager_build_info", v => v == 1));
        await prometheus.UntilAsync("uffd_manager_fault_duration_seconds_count", v => v == 100);

        // All hundred lie in the bucket from 2 to 5 µs, in which Prometheus interpolates.
        double median = await prometheus.UntilAsync("histogram_quantile(0.5, sum by (le) (uffd_manager_fault_duration_seconds_bucket))", v => v > 0);
        Assert.Equal(3.5e-6, median, 1e-9);

        long[] faults = host.Engine.TenantList[0].Faults;
        faults[0] = 5000;
        await prometheus.UntilAsync("sum(uffd_manager_faults_total{kind=\"missing\"})", v => v == 5000);
        await prometheus.UntilAsync("sum(rate(uffd_manager_faults_total[20s]))", v => v > 0);
    }
}
