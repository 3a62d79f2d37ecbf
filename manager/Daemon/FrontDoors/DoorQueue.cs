using System.Collections.Concurrent;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>
/// Brings work to the front door's thread: a queue and an eventfd in that thread's epoll instance. As a synchronisation context of that
/// thread it makes the code behind an <c>await</c> go on there, so that connections need no lock.
/// </summary>
internal sealed class DoorQueue : SynchronizationContext, IDisposable
{
    private readonly ConcurrentQueue<(SendOrPostCallback Work, object? State)> _work = new();
    private readonly SafeEventFd _event = EventFd.Create();
    private readonly FdLease _lease;
    private int _signalled;

    public DoorQueue() => _lease = _event.Lease();

    /// <summary>Readable while work waits.</summary>
    public SafeEventFd Event => _event;

    public override void Post(SendOrPostCallback d, object? state)
    {
        _work.Enqueue((d, state));

        // One write wakes the thread for everything that is queued before it looks.
        if (Interlocked.Exchange(ref _signalled, 1) != 0)
            return;
        try
        {
            EventFd.Signal(_event);
        }
        catch (ObjectDisposedException)
        {
            // The front door is gone; an answer of the engine that comes now has nobody to go to.
        }
    }

    public void Post(Action work) => Post(static state => ((Action)state!)(), work);

    public override void Send(SendOrPostCallback d, object? state) =>
        throw new NotSupportedException("Nobody waits for the front door's thread.");

    public override SynchronizationContext CreateCopy() => this;

    /// <summary>Does what is queued; on the front door's thread.</summary>
    public void Run()
    {
        EventFd.Drain(_lease);

        // Before looking into the queue: who enqueues from here on signals again.
        Volatile.Write(ref _signalled, 0);
        while (_work.TryDequeue(out (SendOrPostCallback Work, object? State) next))
            next.Work(next.State);
    }

    public void Dispose()
    {
        _lease.Dispose();
        _event.Dispose();
    }
}
