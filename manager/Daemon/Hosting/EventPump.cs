using System.Threading.Channels;
using Microsoft.Extensions.Hosting;
using UffdManager.Engine;

namespace UffdManager.Daemon.Hosting;

/// <summary>The one reader of the engine's events: hands each to every sink, in order.</summary>
internal sealed class EventPump(FaultEngine engine, IEnumerable<IEngineEventSink> sinks) : IHostedService, IDisposable
{
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
                sink.OnEvent(engineEvent);
        }
    }
}
