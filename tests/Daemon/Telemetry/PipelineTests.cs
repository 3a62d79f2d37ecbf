using System.Text.RegularExpressions;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.LiveSnapshots;
using UffdManager.Daemon.Telemetry;
using UffdManager.Engine.Telemetry;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Telemetry;

/// <summary>From the numbers of the engine and the reports of the front doors to the lines of a scrape.</summary>
[Collection(TelemetryHost.Collection)]
public partial class PipelineTests
{
    private static readonly string[] EngineLines =
    [
        "uffd_manager_sessions{tenant=\"web\"} 3",
        "uffd_manager_regions{tenant=\"web\"} 4",
        "uffd_manager_registered_bytes{tenant=\"web\"} 1099511627776",
        "uffd_manager_resident_bytes{tenant=\"web\"} 4096",
        "uffd_manager_pages_in_flight{tenant=\"web\"} 5",
        "uffd_manager_fetch_queue_depth{tenant=\"web\"} 6",
        "uffd_manager_faults_total{kind=\"missing\",outcome=\"copied\",tenant=\"web\"} 100",
        "uffd_manager_faults_total{kind=\"write_protect\",outcome=\"client_gone\",tenant=\"web\"} 200",
        "uffd_manager_faults_total{kind=\"minor\",outcome=\"continued\",tenant=\"web\"} 0",
        "uffd_manager_copied_bytes_total{tenant=\"web\"} 7",
        "uffd_manager_zeroed_bytes_total{tenant=\"web\"} 8",
        "uffd_manager_events_total{kind=\"unmap\",tenant=\"web\"} 9",
        "uffd_manager_deferrals_total{reason=\"throttled\",tenant=\"web\"} 10",
        "uffd_manager_conflicts_total{by=\"manager\",tenant=\"web\"} 11",
        "uffd_manager_conflicts_total{by=\"kernel\",tenant=\"web\"} 12",
        "uffd_manager_poisoned_pages_total{tenant=\"web\"} 13",
        "uffd_manager_killed_clients_total{tenant=\"web\"} 14",
        "uffd_manager_fetches_total{outcome=\"failed\",tenant=\"web\"} 15",
        "uffd_manager_fetches_started_total{tenant=\"web\"} 16",
        "uffd_manager_fetch_wait_seconds_total{tenant=\"web\"} 1.7",
        "uffd_manager_loop_sessions{loop=\"0\"} 3",
        "uffd_manager_loop_busy_seconds_total{loop=\"0\"} 1.5",
        "uffd_manager_loop_spin_seconds_total{loop=\"0\"} 0.5",
        "uffd_manager_loop_wakeups_total{loop=\"0\"} 77",
        "uffd_manager_page_table_bytes{loop=\"0\"} 65536",
        "uffd_manager_fault_samples_dropped_total{loop=\"0\"} 2",
    ];

    [Fact]
    public async Task Every_declared_metric_is_exported_and_no_other()
    {
        await using var host = await TelemetryHost.StartAsync();
        FillEngine(host);
        FillDoors(host);
        var types = (await host.ScrapeAsync()).Select(l => TypeLine().Match(l)).Where(m => m.Success)
            .ToDictionary(m => m.Groups[1].Value, m => m.Groups[2].Value);

        // The two counters of engine events have no series before the first session of a tenant.
        var expected = Instruments.All.Except([Instruments.SessionsEnded, Instruments.Misbehaviour]).ToDictionary(
            d => d.Name,
            d => d.Kind == InstrumentKind.Info ? "gauge" : d.Kind.ToString().ToLowerInvariant());
        Assert.Equal(expected.OrderBy(e => e.Key, StringComparer.Ordinal), types.OrderBy(t => t.Key, StringComparer.Ordinal));
    }

    [Fact]
    public async Task Numbers_of_the_engine_are_exported_as_they_are()
    {
        await using var host = await TelemetryHost.StartAsync();
        FillEngine(host);
        string[] lines = await host.ScrapeAsync();
        Assert.All(EngineLines, line => Assert.Contains(line, lines));
    }

    [Fact]
    public async Task Every_scrape_reads_the_engine_anew()
    {
        await using var host = await TelemetryHost.StartAsync();
        host.Engine.TenantList.Add(new("web") { Sessions = 1 });
        Assert.Contains("uffd_manager_sessions{tenant=\"web\"} 1", await host.ScrapeAsync());
        host.Engine.TenantList[0].Sessions = 2;
        Assert.Contains("uffd_manager_sessions{tenant=\"web\"} 2", await host.ScrapeAsync());
    }

    [Fact]
    public async Task Fault_durations_land_in_exact_buckets_and_percentiles()
    {
        await using var host = await TelemetryHost.StartAsync();
        host.Engine.TenantNames.AddRange(["web", "batch"]);
        foreach (long nanoseconds in new[] { 900L, 1000, 1001, 4_000_000, 11_000_000_000 })
        {
            host.Engine.Enqueue(0, FaultKind.Missing, FaultOutcome.Copied, nanoseconds);
        }

        host.Engine.Enqueue(1, FaultKind.WriteProtect, FaultOutcome.Unprotected, 20_000);
        string[] lines = await host.ScrapeAsync();

        var buckets = lines.Where(l => l.StartsWith("uffd_manager_fault_duration_seconds_bucket{kind=\"missing\",tenant=\"web\"", StringComparison.Ordinal))
            .Select(l => BucketLine().Match(l)).ToDictionary(m => m.Groups[1].Value, m => int.Parse(m.Groups[2].Value));
        Assert.Equal(23, buckets.Count);
        Assert.Equal((2, 3, 3, 4, 4, 5), (buckets["1e-06"], buckets["2e-06"], buckets["0.002"], buckets["0.005"], buckets["10"], buckets["+Inf"]));
        Assert.Contains("uffd_manager_fault_duration_seconds_sum{kind=\"missing\",tenant=\"web\"} 11.004002901", lines);
        Assert.Contains("uffd_manager_fault_duration_seconds_count{kind=\"missing\",tenant=\"web\"} 5", lines);
        Assert.Contains("uffd_manager_fault_duration_seconds_count{kind=\"write_protect\",tenant=\"batch\"} 1", lines);

        var percentiles = host.Get<IServiceTimePercentiles>();
        Assert.Equal(5, percentiles.Read("web").Count);
        Assert.InRange(percentiles.Read("web").P50, 1001, 1017);
        Assert.InRange(percentiles.Read("batch").P999, 20_000, 20_313);
        Assert.Equal(default, percentiles.Read("nobody"));
    }

    [Fact]
    public async Task Pump_drains_without_scrapes()
    {
        await using var host = await TelemetryHost.StartAsync();
        host.Engine.TenantNames.Add("web");
        var percentiles = host.Get<IServiceTimePercentiles>();
        for (int i = 0; i < 10_000; i++)
        {
            host.Engine.Enqueue(0, FaultKind.Missing, FaultOutcome.Zeroed, 5000);
        }

        Eventually.True(() => percentiles.Read("web").Count == 10_000, "10,000 samples");
    }

    [Fact]
    public async Task Tenants_beyond_the_limit_share_a_label_and_nothing_overflows()
    {
        await using var host = await TelemetryHost.StartAsync();
        var labels = host.Get<TenantLabels>();
        for (int i = 0; i < Instruments.MaxTenants + 50; i++)
        {
            string label = labels.Of($"tenant{i}");
            if (host.Engine.TenantList.All(t => t.Label != label))
            {
                host.Engine.TenantList.Add(new(label) { Sessions = 1 });
            }

            host.Engine.TenantNames.Add($"tenant{i}");
            host.Engine.Enqueue(i, FaultKind.Minor, FaultOutcome.Continued, 1000);
            host.Get<IFrontDoorTelemetry>().ConnectionOpened("native", $"tenant{i}");
        }

        string[] lines = await host.ScrapeAsync();
        Assert.DoesNotContain(lines, l => l.Contains("otel_metric_overflow", StringComparison.Ordinal));
        Assert.Equal(Instruments.MaxTenants + 1, lines.Count(l => l.StartsWith("uffd_manager_sessions{", StringComparison.Ordinal)));
        int series = Enum.GetValues<FaultKind>().Length * Enum.GetValues<FaultOutcome>().Length;
        Assert.Equal((Instruments.MaxTenants + 1) * series, lines.Count(l => l.StartsWith("uffd_manager_faults_total{", StringComparison.Ordinal)));
        Assert.Contains("uffd_manager_fault_duration_seconds_count{kind=\"minor\",tenant=\"(other)\"} 50", lines);
        Assert.Contains("uffd_manager_connections{door=\"native\",tenant=\"(other)\"} 50", lines);
        Assert.Equal("tenant7", labels.Of("tenant7"));
    }

    [Fact]
    public async Task Reports_of_front_doors_are_counted()
    {
        await using var host = await TelemetryHost.StartAsync();
        string[] before = await host.ScrapeAsync();
        Assert.Contains("uffd_manager_protocol_errors_total{door=\"native\",reason=\"bad_magic\"} 0", before);
        Assert.Contains("uffd_manager_peers_refused_total{door=\"native\",reason=\"unknown_peer\"} 0", before);

        FillDoors(host);
        string[] lines = await host.ScrapeAsync();
        Assert.Contains("uffd_manager_connections{door=\"native\",tenant=\"web\"} 1", lines);
        Assert.Contains("uffd_manager_connections_opened_total{door=\"native\",tenant=\"web\"} 2", lines);
        Assert.Contains("uffd_manager_peers_refused_total{door=\"native\",reason=\"listener_full\"} 1", lines);
        Assert.Contains("uffd_manager_protocol_errors_total{door=\"native\",reason=\"bad_magic\"} 1", lines);
        Assert.Contains("uffd_manager_requests_total{door=\"native\",outcome=\"ok\",request=\"register\"} 1", lines);
        Assert.Contains("uffd_manager_request_duration_seconds_bucket{door=\"native\",request=\"register\",le=\"0.005\"} 1", lines);
        Assert.Contains("uffd_manager_request_duration_seconds_bucket{door=\"native\",request=\"register\",le=\"0.001\"} 0", lines);
    }

    [Fact]
    public async Task Reloads_are_counted_and_the_last_one_shows()
    {
        await using var host = await TelemetryHost.StartAsync();
        Assert.Contains("uffd_manager_configuration_last_reload_successful 1", await host.ScrapeAsync());

        host.Get<IConfigurationTelemetry>().Reloaded(succeeded: false);
        string[] refused = await host.ScrapeAsync();
        Assert.Contains("uffd_manager_configuration_last_reload_successful 0", refused);
        Assert.Contains("uffd_manager_configuration_reloads_total{outcome=\"refused\"} 1", refused);
        Assert.Contains("uffd_manager_configuration_reloads_total{outcome=\"ok\"} 0", refused);

        host.Get<IConfigurationTelemetry>().Reloaded(succeeded: true);
        string[] taken = await host.ScrapeAsync();
        Assert.Contains("uffd_manager_configuration_last_reload_successful 1", taken);
        Assert.Contains("uffd_manager_configuration_reloads_total{outcome=\"ok\"} 1", taken);
    }

    [Fact]
    public async Task Process_tells_about_itself()
    {
        await using var host = await TelemetryHost.StartAsync();
        GC.Collect();
        string[] lines = await host.ScrapeAsync();
        Assert.Single(lines, l => l.StartsWith("uffd_manager_build_info{kernel=\"", StringComparison.Ordinal) && l.Contains("runtime=\".NET ", StringComparison.Ordinal));
        Assert.InRange(Value(lines, "uffd_manager_gc_collections_total{generation=\"2\"}"), 1, 1e6);
        Assert.InRange(Value(lines, "uffd_manager_gc_pause_seconds_total"), 1e-9, 3600);
        Assert.InRange(Value(lines, "uffd_manager_memory_resident_bytes"), 1e6, 1e12);
        Assert.InRange(Value(lines, "uffd_manager_open_descriptors"), 3, 1e6);
        Assert.InRange(Value(lines, "uffd_manager_cpu_seconds_total{mode=\"user\"}"), 1e-6, 1e9);
        Assert.InRange(Value(lines, "uffd_manager_start_time_seconds"), 1.7e9, 1e11);
    }

    internal static void FillEngine(TelemetryHost host)
    {
        var tenant = new TenantTotals("web")
        {
            Sessions = 3,
            Regions = 4,
            RegisteredBytes = 1L << 40,
            ResidentBytes = 4096,
            PagesInFlight = 5,
            FetchesInFlight = 6,
            CopiedBytes = 7,
            ZeroedBytes = 8,
            PoisonedPages = 13,
            KilledClients = 14,
            FetchesStarted = 16,
            FetchWaitNanoseconds = 1_700_000_000,
        };
        tenant.Faults[0] = 100;
        tenant.Faults[((int)FaultKind.WriteProtect * Enum.GetValues<FaultOutcome>().Length) + (int)FaultOutcome.ClientGone] = 200;
        tenant.Events[(int)EventKind.Unmap] = 9;
        tenant.Deferrals[1] = 10;
        (tenant.Conflicts[0], tenant.Conflicts[1]) = (11, 12);
        tenant.Fetches[(int)FetchOutcome.Failed] = 15;
        host.Engine.TenantList.Add(tenant);
        host.Engine.LoopList.Add(new(0, 3, 1_500_000_000, 500_000_000, 77, 0, 2, 65536));
        host.Engine.TenantNames.Add("web");
        host.Engine.Enqueue(0, FaultKind.Missing, FaultOutcome.Copied, 3000);
    }

    internal static void FillDoors(TelemetryHost host)
    {
        var snapshots = host.Get<LiveSnapshotMetrics>();
        snapshots.Started("web");
        snapshots.Ended("web", LiveSnapshotEnd.Written, 4096, 2, TimeSpan.FromMilliseconds(3));
        var door = host.Get<IFrontDoorTelemetry>();
        door.ConnectionOpened("native", "web");
        door.ConnectionOpened("native", "web");
        door.ConnectionClosed("native", "web");
        door.PeerRefused("native", PeerRefusal.ListenerFull);
        door.ProtocolError("native", ProtocolErrorReason.BadMagic);
        door.RequestCompleted("native", "web", "register", "ok", TimeSpan.FromMilliseconds(3));
    }

    private static double Value(string[] lines, string series) =>
        double.Parse(lines.Single(l => l.StartsWith(series + " ", StringComparison.Ordinal)).Split(' ')[^1]);

    [GeneratedRegex("^# TYPE (?<name>\\S+) (?<type>\\S+)$", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex TypeLine();

    [GeneratedRegex("le=\"(?<bound>[^\"]+)\"} (?<count>[0-9]+)$", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex BucketLine();
}
