using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>
/// Runs what a client can make wait: opening and closing files (the client may serve the file system itself, and close(2) waits for it) and
/// looking at its address space (it may hold the lock). No piece of work ever waits for the thread of another, and each tenant has a few at a time (and as many more that
/// close), so that a tenant whose work hangs holds up its own requests and neither another tenant nor the thread pool.
/// </summary>
internal sealed class BlockingWork
{
    private const int PerTenant = 4;

    // Descriptors, not messages: hundreds of VMs that hand one each over at the same time are no sign that anything hangs.
    private const int MaxClosing = 1024;

    // As many as there are tenants in the configuration, over its reloads.
    private readonly Dictionary<string, SemaphoreSlim> _turns = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SemaphoreSlim> _turnsToClose = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> _closing = new(StringComparer.Ordinal);

    /// <summary>Waits for the tenant's turn, then does the work. Called on the front door's thread, to which the answer comes back.</summary>
    public Task<T> RunAsync<T>(string tenant, Func<T> work) => RunAsync(_turns, tenant, work);

    /// <summary>Whether descriptors of a tenant pile up because closing them hangs; nothing more should then be taken from it.</summary>
    public bool IsClogged(string tenant) => _closing.GetValueOrDefault(tenant) >= MaxClosing;

    /// <summary>Closes what is left of what a client sent. Called on the front door's thread, which does not wait for it.</summary>
    public void Close(string tenant, DescriptorSet descriptors)
    {
        int left = 0;
        for (int i = 0; i < descriptors.Count; i++)
            left += descriptors.Borrow(i) is null ? 0 : 1;
        if (left > 0)
            _ = CloseElsewhereAsync(tenant, descriptors, left);
    }

    private static async Task<T> RunAsync<T>(Dictionary<string, SemaphoreSlim> turnsOf, string tenant, Func<T> work)
    {
        if (!turnsOf.TryGetValue(tenant, out SemaphoreSlim? turns))
            turnsOf.Add(tenant, turns = new SemaphoreSlim(PerTenant));
        await turns.WaitAsync();
        try
        {
            return await WorkerThreads.Shared.RunAsync(work);
        }
        finally
        {
            turns.Release();
        }
    }

    // With turns of its own: what waits behind work that takes its time does not hang.
    private async Task CloseElsewhereAsync(string tenant, DescriptorSet descriptors, int count)
    {
        _closing[tenant] = _closing.GetValueOrDefault(tenant) + count;
        await RunAsync(_turnsToClose, tenant, () =>
        {
            descriptors.Dispose();
            return true;
        });
        _closing[tenant] -= count;
    }
}
