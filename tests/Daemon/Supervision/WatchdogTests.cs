using System.Collections.Concurrent;
using System.Diagnostics;
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
        long begin = Stopwatch.GetTimestamp();
        await watchdog.StartAsync(CancellationToken.None);
        Eventually.True(() => Beats >= 15, "fifteen beats");

        // Not more often than every 100 ms, but for the first and what the clock of the pauses leaves out.
        int beats = Beats;
        Assert.True(Stopwatch.GetElapsedTime(begin).TotalMilliseconds >= (beats - 1) * 85, $"{beats} beats in {Stopwatch.GetElapsedTime(begin)}");
    }

    [Fact]
    public async Task Nothing_is_said_of_threads_that_turn_in_time()
    {
        using Watchdog watchdog = Make(TimeSpan.FromMinutes(3), new Door());
        await watchdog.StartAsync(CancellationToken.None);
        Eventually.True(() => Beats == 1, "the first beat");
        Assert.Empty(_log.Lines);
    }

    [Fact]
    public async Task Watchdog_hears_nothing_while_a_front_door_stands_still_and_the_log_says_which()
    {
        // On a machine that is too busy the fault loops are late as well: then with more time.
        string complaint;
        int milliseconds = 150;
        do
        {
            complaint = await WatchAsync(TimeSpan.FromMilliseconds(milliseconds));
            milliseconds *= 4;
        }
        while (complaint.Contains("fault loop", StringComparison.Ordinal) && milliseconds < 15_000);
        Assert.Contains("front door slow", complaint, StringComparison.Ordinal);
        Assert.DoesNotContain("fault loop", complaint, StringComparison.Ordinal);
    }

    // The complaint about a door that stands still; it turns again in the end.
    private async Task<string> WatchAsync(TimeSpan timeout)
    {
        Door door = new();
        _log.Forget();
        _manager.Forget();
        using Watchdog watchdog = Make(timeout, new Door(), door);
        await watchdog.StartAsync(CancellationToken.None);
        Eventually.True(() => Beats >= 2, "beats");
        door.StandStill();
        string? complaint = null;
        Eventually.True(
            () => (complaint = _log.Lines.FirstOrDefault(line => line.StartsWith("Critical", StringComparison.Ordinal) && line.Contains("front door", StringComparison.Ordinal))) is not null,
            "the complaint");

        // What it sent before has arrived when this has.
        _socket.Send("STATUS=mark");
        _manager.WaitFor(message => message.Text == "STATUS=mark", "the mark");
        int beats = Beats;
        Eventually.Never(() => Beats > beats, TimeSpan.FromMilliseconds(500), "a beat");
        door.TurnAgain();
        Eventually.True(() => Beats > beats, "beats again");
        Assert.Contains(_log.Lines, line => line.Contains("turn again", StringComparison.Ordinal));
        return complaint!;
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

        public Task StartAsync() => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task HandOverAsync() => Task.CompletedTask;
    }

    private sealed class RecordingLogger : ILogger<Watchdog>
    {
        private readonly ConcurrentQueue<string> _lines = new();

        public IReadOnlyCollection<string> Lines => _lines;

        public void Forget() => _lines.Clear();

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            _lines.Enqueue($"{logLevel}: {formatter(state, exception)}");
    }
}
