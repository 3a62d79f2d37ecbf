using System.Collections.Concurrent;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>A service manager's store of which the test says how far behind it is; remembers names, and keeps nothing.</summary>
internal sealed class PacedStore : IDescriptorStore
{
    private volatile bool _isBehind;
    private volatile bool _isUnsettled;
    private volatile bool _isFull;
    private readonly TaskCompletionSource _released = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _barriers;
    private int _asked;

    public ConcurrentQueue<string> Stored { get; } = new();

    public ConcurrentQueue<string> Removed { get; } = new();

    public int Barriers => Volatile.Read(ref _barriers);

    /// <summary>Whether who asks for a barrier waits until <see cref="Release"/>.</summary>
    public bool HoldsBarriers { get; init; }

    public bool IsFull
    {
        get => _isFull;
        set => _isFull = value;
    }

    public bool IsKept { get; init; }

    public bool IsPrompt
    {
        get
        {
            Interlocked.Increment(ref _asked);
            return !_isBehind;
        }
    }

    /// <summary>How often it was asked whether it is prompt.</summary>
    public int Asked => Volatile.Read(ref _asked);

    public bool IsSettled => !_isBehind && !_isUnsettled;

    /// <summary>Whether what is stored waits on the way although there was room before.</summary>
    public bool IsUnsettled
    {
        get => _isUnsettled;
        set => _isUnsettled = value;
    }

    /// <summary>Whether the last connection is kept, and not its name alone.</summary>
    public bool KeepsPeer { get; init; }

    /// <summary>A duplicate of the last connection; the test's.</summary>
    public SafeSocketFd? Peer { get; private set; }

    public bool IsBehind
    {
        get => _isBehind;
        set => _isBehind = value;
    }

    /// <summary>Connections among what was stored.</summary>
    public int Peers => Stored.Count(name => name.Contains("-peer-", StringComparison.Ordinal));

    public bool TryStore(string name, ReadOnlySpan<SafeFd> descriptors)
    {
        if (IsFull)
            return false;
        if (KeepsPeer && name.Contains("-peer-", StringComparison.Ordinal))
        {
            Peer?.Dispose();
            Peer = descriptors[0].Duplicate<SafeSocketFd>();
        }

        Stored.Enqueue(name);
        return true;
    }

    public void Remove(string name) => Removed.Enqueue(name);

    public Task SettleAsync() => Task.CompletedTask;

    public void Release() => _released.SetResult();

    public async Task<bool> SynchronizeAsync(TimeSpan patience)
    {
        Interlocked.Increment(ref _barriers);
        if (HoldsBarriers)
            await _released.Task;
        return true;
    }
}
