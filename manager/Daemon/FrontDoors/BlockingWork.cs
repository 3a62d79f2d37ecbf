namespace UffdManager.Daemon.FrontDoors;

/// <summary>
/// Runs what a client can make wait: opening files (the client may serve the file system itself) and looking at its address space (it may hold the
/// lock). Each piece of work has a thread of its own, and each tenant a few at a time, so that a tenant whose work hangs holds up its own
/// requests and neither another tenant nor the thread pool.
/// </summary>
internal sealed class BlockingWork
{
    private const int PerTenant = 4;

    // As many as there are tenants in the configuration, over its reloads.
    private readonly Dictionary<string, SemaphoreSlim> _turns = new(StringComparer.Ordinal);

    /// <summary>Waits for the tenant's turn, then does the work. Called on the front door's thread, to which the answer comes back.</summary>
    public async Task<T> RunAsync<T>(string tenant, Func<T> work)
    {
        if (!_turns.TryGetValue(tenant, out SemaphoreSlim? turns))
            _turns.Add(tenant, turns = new SemaphoreSlim(PerTenant));
        await turns.WaitAsync();
        try
        {
            return await Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }
        finally
        {
            turns.Release();
        }
    }
}
