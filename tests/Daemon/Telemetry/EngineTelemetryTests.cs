using System.Collections.Concurrent;
using System.Diagnostics;
using UffdManager.Daemon.FrontDoors;
using UffdManager.Daemon.Supervision;
using UffdManager.Daemon.Telemetry;
using UffdManager.Engine;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Telemetry;

/// <summary>Telemetry over the real engine and a real client process.</summary>
[Collection(TelemetryHost.Collection)]
public sealed class EngineTelemetryTests : IDisposable
{
    private const ulong Page = 4096;

    private readonly FaultEngine _engine = new(new EngineOptions { FaultLoops = 2 });
    private readonly ClientProcess _client = ClientProcess.Start();

    public void Dispose()
    {
        _client.Dispose();
        _engine.Dispose();
    }

    [Fact]
    public async Task Loops_are_healthy_from_their_start_on()
    {
        var health = new LoopHealth(_engine, TimeProvider.System);
        Assert.Equal(["a fault loop has not turned for 2 s"], await health.ComplaintsAsync(CancellationToken.None));
        _engine.Start();
        Eventually.True(() => health.ComplaintsAsync(CancellationToken.None).GetAwaiter().GetResult().Count == 0, "healthy loops");
    }

    [Fact]
    public async Task Faults_of_a_client_are_counted_and_timed_once_each()
    {
        _engine.Start();
        var session = await AttachAsync("web");
        ulong address = await RegisterAsync(session, 100 * Page);
        _client.Run($"touch {address} {100 * Page}");

        // The last fault is counted after its thread was woken; the loop's next turn comes after that.
        await _engine.PingAsync();
        var telemetry = new EngineTelemetry(_engine, new(), new());
        var totals = Assert.Single(telemetry.Tenants());
        Assert.Equal(("web", 1, 1, 100 * (long)Page), (totals.Label, totals.Sessions, totals.Regions, totals.RegisteredBytes));
        Assert.Equal(100, totals.Faults.Sum());
        Assert.Equal(100, totals.Faults[(int)FaultOutcome.Zeroed]);
        Assert.Equal(100 * (long)Page, totals.ZeroedBytes);
        Assert.Equal(1, telemetry.Loops().Sum(l => l.Sessions));

        var samples = new FaultSample[200];
        int count = telemetry.DrainFaultSamples(samples);
        Assert.Equal(100, count);
        Assert.All(samples[..count], s =>
        {
            Assert.Equal(("web", FaultKind.Missing, FaultOutcome.Zeroed), (telemetry.TenantName(s.Tenant), s.Kind, s.Outcome));
            Assert.InRange(s.DurationNanoseconds, 1, 10_000_000_000);
            Assert.InRange(s.EndedAt, s.DurationNanoseconds, MonotonicClock.NowNanoseconds);
        });
    }

    [Fact]
    public async Task Tenants_that_share_a_label_are_summed()
    {
        _engine.Start();
        await AttachAsync("first");
        using var second = ClientProcess.Start();
        await AttachAsync("second", second);
        using var third = ClientProcess.Start();
        await AttachAsync("third", third);

        ImageCatalog mapped = new();
        SharedImage[] objects = [Empty("first"), Empty("second"), Empty("third")];
        foreach (SharedImage one in objects)
            mapped.Restore(one, OwnerTag.Write(one.Name, "zero", "0", "", "", "0", "0"));
        var telemetry = new EngineTelemetry(_engine, new TenantLabels(limit: 1), mapped);
        Assert.Equal([(TenantLabels.Other, 2L), ("first", 1L)], telemetry.Tenants().Select(t => (t.Label, t.Sessions)));
        Assert.Equal([(TenantLabels.Other, 2), ("first", 1)], telemetry.MappedObjects().Shares.Select(share => (share.Tenant, share.Objects)));
        foreach (SharedImage one in objects)
            one.Dispose();
    }

    private static SharedImage Empty(string tenant) => SharedImage.Create(ZeroSource.Instance, 0, (long)Page, writable: true, tenant);

    [Fact]
    public async Task Session_is_a_span_from_attach_to_end_with_its_events()
    {
        var spans = new ConcurrentQueue<Activity>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "UffdManager",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = spans.Enqueue,
        };
        ActivitySource.AddActivityListener(listener);
        var tracer = new SessionTracer(TimeProvider.System);
        var before = TimeProvider.System.GetUtcNow();

        _engine.Start();
        var session = await AttachAsync("web");
        ulong address = await RegisterAsync(session, 4 * Page);
        using var second = _client.OpenUffd(UffdOpenFlags.None, out _);
        var rival = await AttachAsync("rival", _client, second.Duplicate<SafeUffd>());
        var conflict = await _engine.RegisterAsync(rival, Request(address, 4 * Page));
        Assert.Equal(Errno.EBUSY, conflict.Error!.Errno);
        _client.Run($"touch {address} {4 * Page}");
        _client.Kill();

        Eventually.True(
            () =>
            {
                while (_engine.Events.TryRead(out var happened))
                {
                    tracer.OnEvent(happened);
                }

                return spans.Count == 2;
            },
            "the ends of both sessions");

        var span = spans.Single(s => session.Id.Equals(s.GetTagItem("session.id")));
        Assert.Equal(("session", ActivityStatusCode.Unset, default), (span.DisplayName, span.Status, span.ParentSpanId));
        Assert.Equal("web", span.GetTagItem("tenant"));
        Assert.Equal("client_exited", span.GetTagItem("session.end"));
        Assert.Equal(4L, span.GetTagItem("session.faults"));
        Assert.Equal(_client.Pid, span.GetTagItem("process.pid"));
        Assert.InRange(span.StartTimeUtc, before.UtcDateTime.AddMilliseconds(-50), TimeProvider.System.GetUtcNow().UtcDateTime);
        Assert.InRange(span.Duration, TimeSpan.FromTicks(1), TimeProvider.System.GetUtcNow() - before + TimeSpan.FromMilliseconds(50));

        var rivalSpan = spans.Single(s => rival.Id.Equals(s.GetTagItem("session.id")));
        var noted = Assert.Single(rivalSpan.Events);
        Assert.Equal("conflict", noted.Name);
        Assert.Contains(new("holder.session", session.Id), noted.Tags);
        Assert.Null(Activity.Current);
    }

    private async Task<Engine.Sessions.Session> AttachAsync(string tenant, ClientProcess? client = null, SafeUffd? uffd = null)
    {
        client ??= _client;
        Assert.True(ProcessInfo.TryReadStartTime(client.Pid, out ulong startTime));
        var result = await _engine.AttachAsync(new()
        {
            Uffd = uffd ?? client.OpenUffd(),
            Pid = client.Pid,
            ProcessStartTime = startTime,
            PidFd = client.Handle.Duplicate<SafePidFd>(),
            Tenant = new(tenant, 1, new()),
            DefaultPolicy = new() { Name = "zero", Source = ZeroSource.Instance },
            Label = "test",
        });
        Assert.Null(result.Error);
        return result.Session!;
    }

    private async Task<ulong> RegisterAsync(Engine.Sessions.Session session, ulong length)
    {
        ulong address = _client.Map("anon", length).Address;
        var result = await _engine.RegisterAsync(session, Request(address, length));
        Assert.Null(result.Error);
        return address;
    }

    private static RegisterRequest Request(ulong address, ulong length) => new()
    {
        Start = address,
        Length = length,
        Modes = UffdRegisterModes.Missing,
        Policy = new() { Name = "zero", Source = ZeroSource.Instance },
    };
}
