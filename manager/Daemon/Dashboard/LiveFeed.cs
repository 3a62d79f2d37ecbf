using Microsoft.Extensions.Hosting;
using UffdManager.Daemon.Inspection;

namespace UffdManager.Daemon.Dashboard;

/// <summary>
/// Looks at the daemon once a second for all open pages together, and not at all while none is open. Any thread.
/// </summary>
internal sealed class LiveFeed(ILiveSource source, TimeProvider time) : IHostedLifecycleService, IDisposable
{
    private readonly Lock _gate = new();
    private readonly List<LiveSubscription> _subscriptions = [];
    private CancellationTokenSource? _watching;
    private LiveUpdate? _newest;
    private bool _stopping;

    /// <summary>Pages that are fed now.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
                return _subscriptions.Count;
        }
    }

    /// <summary>Whether somebody looks at the daemon at this moment.</summary>
    public bool IsWatching
    {
        get
        {
            lock (_gate)
                return _watching is not null;
        }
    }

    /// <summary>Joins; the first one starts the looking. Null when there are as many as may be, or the daemon stops.</summary>
    public LiveSubscription? TryJoin()
    {
        lock (_gate)
        {
            if (_stopping || _subscriptions.Count >= DashboardLimits.Streams)
                return null;

            LiveSubscription subscription = new(this);
            _subscriptions.Add(subscription);
            if (_newest is not null)
                subscription.Offer(_newest);
            if (_watching is null)
            {
                _watching = new CancellationTokenSource();
                _ = WatchAsync(_watching.Token);
            }

            return subscription;
        }
    }

    /// <inheritdoc/>
    public Task StoppingAsync(CancellationToken cancellationToken)
    {
        // The web server waits for its requests, and a stream would never end.
        lock (_gate)
        {
            _stopping = true;
            StopWatching();
            foreach (LiveSubscription subscription in _subscriptions)
            {
                subscription.Offer(LiveUpdate.Stopping);
                subscription.Complete();
            }
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
            StopWatching();
    }

    internal void Leave(LiveSubscription subscription)
    {
        lock (_gate)
        {
            if (_subscriptions.Remove(subscription) && _subscriptions.Count == 0)
                StopWatching();
        }
    }

    private void StopWatching()
    {
        _watching?.Cancel();
        _watching?.Dispose();
        _watching = null;
        _newest = null;
    }

    private async Task WatchAsync(CancellationToken left)
    {
        // Nothing of it on the thread that answers the first page.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        while (!left.IsCancellationRequested)
        {
            try
            {
                await foreach (LiveSample sample in source.SampleAsync(left))
                    Publish(LiveUpdate.Of(sample), left);

                return;
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (Exception e) when (e is TimeoutException or ObjectDisposedException)
            {
                string reason = e is TimeoutException ? "a fault loop does not answer" : "the engine stops";
                Publish(LiveUpdate.Of(new LiveTrouble { At = Words.Time(time.GetUtcNow()), Reason = reason }), left);
            }

            try
            {
                // The period of looking, which is what pages are promised; nobody's progress depends on it.
                await Task.Delay(DashboardLimits.Interval, time, left);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private void Publish(LiveUpdate update, CancellationToken left)
    {
        lock (_gate)
        {
            // The last page left, and maybe another came, while this was made.
            if (left.IsCancellationRequested)
                return;
            _newest = update;
            foreach (LiveSubscription subscription in _subscriptions)
                subscription.Offer(update);
        }
    }
}
