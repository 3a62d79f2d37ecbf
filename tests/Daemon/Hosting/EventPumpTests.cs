using System.Collections.Concurrent;
using Microsoft.Extensions.Logging.Abstractions;
using UffdManager.Daemon.Hosting;
using UffdManager.Engine;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Hosting;

public sealed class EventPumpTests
{
    [Fact]
    public async Task Failing_sink_keeps_nothing_from_the_others_and_does_not_end_the_pump()
    {
        using FaultEngine engine = new(new EngineOptions { FaultLoops = 1 });
        engine.Start();
        RecordingSink recording = new();
        using EventPump pump = new(engine, [new FailingSink(), recording], NullLogger<EventPump>.Instance);
        await pump.StartAsync(CancellationToken.None);

        using (ClientProcess client = ClientProcess.Start())
        {
            Assert.True(ProcessInfo.TryReadStartTime(client.Pid, out ulong startTime));
            AttachResult attached = await engine.AttachAsync(new AttachRequest
            {
                Uffd = client.OpenUffd(),
                Pid = client.Pid,
                ProcessStartTime = startTime,
                PidFd = PidFd.TryOpen(client.Pid, out _)!,
                Tenant = new Tenant("t", 1, new TenantLimits()),
                DefaultPolicy = new Policy { Name = "zero", Source = ZeroSource.Instance },
                Label = "test",
            });
            Assert.Null(attached.Error);
            Eventually.True(() => recording.Events.Any(e => e is SessionStarted), "the first event");
        }

        Eventually.True(() => recording.Events.Any(e => e is SessionEnded), "an event after the first failure");
        await pump.StopAsync(CancellationToken.None);
    }

    private sealed class FailingSink : IEngineEventSink
    {
        public void OnEvent(EngineEvent engineEvent) => throw new InvalidOperationException("a defect");
    }

    private sealed class RecordingSink : IEngineEventSink
    {
        public ConcurrentQueue<EngineEvent> Events { get; } = new();

        public void OnEvent(EngineEvent engineEvent) => Events.Enqueue(engineEvent);
    }
}
