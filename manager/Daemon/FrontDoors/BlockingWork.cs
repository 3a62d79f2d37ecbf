using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>
/// Runs what a client can make wait: opening and closing files (the client may serve the file system itself, and close(2) waits for it) and
/// looking at its address space (it may hold the lock). Each piece of work has a thread of its own, and each tenant a few at a time, so that a tenant whose work hangs holds up its own
/// requests and neither another tenant nor the thread pool.
/// </summary>
internal sealed class BlockingWork
{
    private const int PerTenant = 4;
    private const int MaxClosing = 64;

    // As many as there are tenants in the configuration, over its reloads.
    private readonly Dictionary<string, SemaphoreSlim> _turns = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> _closing = new(StringComparer.Ordinal);

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

    /// <summary>Whether descriptors of a tenant pile up because closing them hangs; nothing more should then be taken from it.</summary>
    public bool IsClogged(string tenant) => _closing.GetValueOrDefault(tenant) >= MaxClosing;

    /// <summary>Closes what is left of what a client sent. Called on the front door's thread, which does not wait for it.</summary>
    public void Close(string tenant, DescriptorSet descriptors)
    {
        bool left = false;
        for (int i = 0; i < descriptors.Count; i++)
            left |= descriptors.Borrow(i) is not null;
        if (left)
            _ = CloseElsewhereAsync(tenant, descriptors);
    }

    private async Task CloseElsewhereAsync(string tenant, DescriptorSet descriptors)
    {
        _closing[tenant] = _closing.GetValueOrDefault(tenant) + 1;
        await RunAsync(tenant, () =>
        {
            descriptors.Dispose();
            return true;
        });
        _closing[tenant]--;
    }
}
