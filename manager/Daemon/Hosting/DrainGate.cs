namespace UffdManager.Daemon.Hosting;

/// <summary>
/// Whether new sessions are refused, so that the daemon runs empty. Sessions that exist do not notice. Any thread; not remembered across restarts.
/// </summary>
internal sealed class DrainGate(TimeProvider time) : IDrainGate
{
    private readonly Lock _changing = new();
    private Draining? _current;

    /// <summary>The drain that is under way; null when there is none.</summary>
    public Draining? Current => Volatile.Read(ref _current);

    public bool IsDraining => Current is not null;

    /// <summary>Refuses new sessions from now on.</summary>
    /// <param name="by">Who asked for it, in words.</param>
    /// <param name="isNew">False when they were refused before.</param>
    /// <returns>The drain that is under way now.</returns>
    public Draining Begin(string by, out bool isNew)
    {
        lock (_changing)
        {
            isNew = _current is null;
            if (_current is null)
                Volatile.Write(ref _current, new Draining(time.GetUtcNow(), time.GetTimestamp(), by, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)));
            return _current!;
        }
    }

    /// <summary>Accepts new sessions again; false when they were never refused.</summary>
    public bool End()
    {
        lock (_changing)
        {
            Draining? ended = _current;
            Volatile.Write(ref _current, null);
            ended?.Over.TrySetResult();
            return ended is not null;
        }
    }

    /// <summary>One drain.</summary>
    /// <param name="Since">When it began.</param>
    /// <param name="Timestamp">The same on the clock that measures.</param>
    /// <param name="By">Who asked for it.</param>
    /// <param name="Over">Completed when it was ended.</param>
    internal sealed record Draining(DateTimeOffset Since, long Timestamp, string By, TaskCompletionSource Over);
}
