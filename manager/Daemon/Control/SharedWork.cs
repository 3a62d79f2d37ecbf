namespace UffdManager.Daemon.Control;

/// <summary>Work that may hang in a file system: who asks for what somebody else waits for already waits for the same, and whoever gives up leaves nothing more behind.</summary>
/// <typeparam name="T">What comes of it.</typeparam>
internal sealed class SharedWork<T>
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Task<T>> _running = new(StringComparer.Ordinal);

    /// <summary>Has something done, or waits for it if it is being done.</summary>
    /// <param name="what">What it is of.</param>
    /// <param name="work">Does it, on whatever thread it wants.</param>
    /// <param name="cancel">Gives up waiting; the work goes on.</param>
    public Task<T> DoAsync(string what, Func<Task<T>> work, CancellationToken cancel)
    {
        lock (_gate)
        {
            if (!_running.TryGetValue(what, out Task<T>? running))
                _running[what] = running = RunAsync(what, work);
            return running.WaitAsync(cancel);
        }
    }

    private async Task<T> RunAsync(string what, Func<Task<T>> work)
    {
        // Never at once: it is noted as running when this returns.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        try
        {
            return await work();
        }
        finally
        {
            lock (_gate)
                _running.Remove(what);
        }
    }
}
