using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Telemetry;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Telemetry;

/// <summary>What a collector receives. Field numbers are those of opentelemetry-proto 1.x.</summary>
[Collection(TelemetryHost.Collection)]
public class OtlpTests
{
    [Theory]
    [InlineData("grpc", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export")]
    [InlineData("http/protobuf", "/v1/metrics")]
    public async Task Metrics_go_to_the_collector_under_the_same_names(string protocol, string path)
    {
        await using var collector = await OtlpCollector.StartAsync(protocol == "grpc");
        await using var host = await TelemetryHost.StartAsync(otlp: Options(collector, protocol));
        PipelineTests.FillEngine(host);
        PipelineTests.FillDoors(host);

        // The histogram joins when the pump has turned, some exports later.
        var expected = Instruments.All.Except([Instruments.SessionsEnded, Instruments.Misbehaviour]).Select(d => d.Name).ToHashSet();
        Eventually.True(() => collector.Received.Any(r => r.Path == path && expected.SetEquals(Metrics(r.Message))), "an export of every metric");
        Assert.Equal("uffd-manager", Resource(collector.Received.First().Message)["service.name"]);
    }

    [Theory]
    [InlineData("grpc", "/opentelemetry.proto.collector.trace.v1.TraceService/Export")]
    [InlineData("http/protobuf", "/v1/traces")]
    public async Task Slow_faults_become_spans_with_their_true_times(string protocol, string path)
    {
        await using var collector = await OtlpCollector.StartAsync(protocol == "grpc");
        long before = Now();
        await using (var host = await TelemetryHost.StartAsync(otlp: Options(collector, protocol)))
        {
            host.Engine.TenantNames.Add("web");
            long ended = MonotonicClock.NowNanoseconds;
            host.Engine.Enqueue(0, FaultKind.Missing, FaultOutcome.Copied, 99_999_999, ended);
            host.Engine.Enqueue(0, FaultKind.Missing, FaultOutcome.ClientKilled, 250_000_000, ended);
            await host.ScrapeAsync();
        }

        long after = Now();
        var span = Assert.Single(collector.Received.Where(r => r.Path == path).SelectMany(r => Spans(r.Message)));
        Assert.Equal("fault", span.Text(5));
        Assert.Equal(250_000_000UL, span.Fixed64(8) - span.Fixed64(7));
        Assert.InRange((long)span.Fixed64(8), before - 10_000_000, after);
        Assert.Equal(
            new Dictionary<string, string> { ["tenant"] = "web", ["fault.kind"] = "missing", ["fault.outcome"] = "client_killed" }, span.Attributes(9));
    }

    [Fact]
    public async Task Slow_faults_are_limited_to_a_hundred_spans_a_second()
    {
        await using var collector = await OtlpCollector.StartAsync(grpc: false);
        await using (var host = await TelemetryHost.StartAsync(otlp: Options(collector, "http/protobuf")))
        {
            host.Engine.TenantNames.Add("web");
            for (int i = 0; i < 1000; i++)
            {
                host.Engine.Enqueue(0, FaultKind.Missing, FaultOutcome.Copied, 1_000_000_000, MonotonicClock.NowNanoseconds);
            }

            await host.ScrapeAsync();
        }

        // Two hundred when the second changes in the midst of them.
        Assert.InRange(collector.Received.Where(r => r.Path == "/v1/traces").SelectMany(r => Spans(r.Message)).Count(), 100, 200);
    }

    [Fact]
    public async Task Nothing_is_sent_of_a_signal_that_is_switched_off()
    {
        await using var collector = await OtlpCollector.StartAsync(grpc: false);
        await using (var host = await TelemetryHost.StartAsync(otlp: Options(collector, "http/protobuf") with { Metrics = false }))
        {
            host.Engine.TenantNames.Add("web");
            host.Engine.Enqueue(0, FaultKind.Missing, FaultOutcome.Copied, 1_000_000_000, MonotonicClock.NowNanoseconds);
            await host.ScrapeAsync();
        }

        Assert.Equal(["/v1/traces"], collector.Received.Select(r => r.Path).Distinct());
    }

    [Fact]
    public async Task Absent_collector_disturbs_nothing()
    {
        await using var host = await TelemetryHost.StartAsync(otlp: TelemetryHost.NoOtlp with { Enabled = true, Endpoint = "http://127.0.0.1:9", Interval = TimeSpan.FromMilliseconds(50) });
        PipelineTests.FillEngine(host);
        Assert.Contains("uffd_manager_sessions{tenant=\"web\"} 3", await host.ScrapeAsync());
    }

    private static OtlpOptions Options(OtlpCollector collector, string protocol) => TelemetryHost.NoOtlp with
    {
        Enabled = true,
        Endpoint = collector.Endpoint,
        Protocol = protocol,
        Interval = TimeSpan.FromMilliseconds(100),
    };

    private static long Now() => TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds() * 1_000_000;

    private static List<string> Metrics(byte[] message) =>
        [.. new ProtobufFields(message).Messages(1).SelectMany(r => r.Messages(2)).SelectMany(s => s.Messages(2)).Select(m => m.Text(1))];

    private static IEnumerable<ProtobufFields> Spans(byte[] message) =>
        new ProtobufFields(message).Messages(1).SelectMany(r => r.Messages(2)).SelectMany(s => s.Messages(2));

    private static Dictionary<string, string> Resource(byte[] message) =>
        new ProtobufFields(message).Messages(1).Single().Messages(1).Single().Attributes(1);
}
