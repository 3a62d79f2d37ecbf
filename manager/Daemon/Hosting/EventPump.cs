using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using UffdManager.Engine;

namespace UffdManager.Daemon.Hosting;

/// <summary>The one reader of the engine's events: hands each to every sink, in order.</summary>
internal sealed partial class EventPump(FaultEngine engine, IEnumerable<IEngineEventSink> sinks, ILogger<EventPump> logger)
    : IHostedService, IDisposable
{
    private readonly HashSet<Type> _failed = [];
    private readonly IEngineEventSink[] _sinks = [.. sinks];
    private readonly CancellationTokenSource _stopping = new();
    private Task _pumping = Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _pumping = PumpAsync();
        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _stopping.CancelAsync();
        await _pumping;

        // The engine has stopped by now: what lies in the channel is how the last sessions ended.
        DrainPresent();
    }

    public void Dispose() => _stopping.Dispose();

    private async Task PumpAsync()
    {
        try
        {
            while (await engine.Events.WaitToReadAsync(_stopping.Token))
                DrainPresent();
        }
        catch (OperationCanceledException)
        {
            // StopAsync drains the rest.
        }
    }

    private void DrainPresent()
    {
        while (engine.Events.TryRead(out EngineEvent? engineEvent))
        {
            foreach (IEngineEventSink sink in _sinks)
                Tell(sink, engineEvent);
        }
    }

    // A defect of one sink must not keep the events from the others, nor end the pump.
    private void Tell(IEngineEventSink sink, EngineEvent engineEvent)
    {
        try
        {
            sink.OnEvent(engineEvent);
        }
        catch (Exception e)
        {
            if (_failed.Add(sink.GetType()))
                LogSinkFailed(e, sink.GetType().Name, engineEvent.GetType().Name);
        }
    }

    [LoggerMessage(1030, LogLevel.Error, "{Sink} failed on {Event}; it is told the next events, further failures are not logged, ignoring")]
    private partial void LogSinkFailed(Exception exception, string sink, string @event);
}
