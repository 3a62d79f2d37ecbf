using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Supervision;
using UffdManager.Engine;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Supervision;

[Collection(SupervisionCollection.Name)]
public sealed class WatchdogTests : IDisposable
{
    private readonly FakeServiceManager _manager = new();
    private readonly NotifySocket _socket;
    private readonly FaultEngine _engine = new(new EngineOptions { FaultLoops = 2 });
    private readonly RecordingLogger _log = new();

    public WatchdogTests()
    {
        _socket = new NotifySocket(_manager.Address);
        _engine.Start();
    }

    private int Beats => _manager.Messages.Count(message => message.Has("WATCHDOG=1"));

    public void Dispose()
    {
        _socket.Dispose();
        _manager.Dispose();
        _engine.Dispose();
    }

    [Fact]
    public async Task Watchdog_hears_of_a_daemon_that_turns_three_times_in_its_time()
    {
        using Watchdog watchdog = Make(TimeSpan.FromMilliseconds(300), new Door());
        await watchdog.StartAsync(CancellationToken.None);
        Eventually.True(() => Beats >= 10, "ten beats");

        // Not more often than every 100 ms, but for the first.
        long first = Environment.TickCount64;
        int before = Beats;
        Eventually.True(() => Beats >= before + 5, "five beats");
        Assert.InRange(Environment.TickCount64 - first, 350, 20_000);
        Assert.Empty(_log.Lines);
    }

    [Fact]
    public async Task Watchdog_hears_nothing_while_a_front_door_stands_still_and_the_log_says_which()
    {
        Door door = new();
        using Watchdog watchdog = Make(TimeSpan.FromMilliseconds(150), new Door(), door);
        await watchdog.StartAsync(CancellationToken.None);
        Eventually.True(() => Beats >= 2, "beats");
        door.StandStill();
        Eventually.True(() => _log.Lines.Any(line => line.StartsWith("Critical", StringComparison.Ordinal)), "the complaint");
        int beats = Beats;
        Eventually.Never(() => Beats > beats, TimeSpan.FromMilliseconds(500), "a beat");
        string complaint = Assert.Single(_log.Lines);
        Assert.Contains("front door slow", complaint, StringComparison.Ordinal);
        Assert.DoesNotContain("fault loop", complaint, StringComparison.Ordinal);

        door.TurnAgain();
        Eventually.True(() => Beats > beats, "beats again");
        Assert.Contains(_log.Lines, line => line.Contains("turn again", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Nobody_is_watched_where_the_service_manager_does_not_ask_for_it()
    {
        using Watchdog watchdog = Make(null, new Door());
        await watchdog.StartAsync(CancellationToken.None);
        Eventually.Never(() => Beats > 0, TimeSpan.FromMilliseconds(300), "a beat");
    }

    private Watchdog Make(TimeSpan? timeout, params Door[] doors) =>
        new(new WatchdogSettings(timeout), _engine, doors, new ServiceManager(_socket), _log);

    private sealed class Door : IFrontDoor
    {
        private volatile TaskCompletionSource? _still;

        public string Name => "slow";

        public void StandStill() => _still = new TaskCompletionSource();

        public void TurnAgain()
        {
            TaskCompletionSource? still = _still;
            _still = null;
            still?.SetResult();
        }

        public Task PingAsync() => _still?.Task ?? Task.CompletedTask;

        public void Start()
        {
        }

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task HandOverAsync() => Task.CompletedTask;
    }

    private sealed class RecordingLogger : ILogger<Watchdog>
    {
        private readonly ConcurrentQueue<string> _lines = new();

        public IReadOnlyCollection<string> Lines => _lines;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            _lines.Enqueue($"{logLevel}: {formatter(state, exception)}");
    }
}
