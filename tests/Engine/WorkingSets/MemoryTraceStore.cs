using UffdManager.Engine.WorkingSets;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>Keeps traces as the daemon does, by file, in memory.</summary>
internal sealed class MemoryTraceStore : ITraceStore
{
    private readonly Lock _lock = new();
    private readonly Dictionary<(string, ulong, ulong, int), byte[]> _kept = [];
    private readonly List<string> _rejected = [];
    private readonly TaskCompletionSource _gate = new();
    private int _saves;
    private int _waiting;

    /// <summary>Whose traces are not kept before <see cref="Release"/>.</summary>
    public string? Held { get; set; }

    /// <summary>Saves that are held now.</summary>
    public int Waiting => Volatile.Read(ref _waiting);

    public int Saves => Volatile.Read(ref _saves);

    public IReadOnlyList<string> Rejections
    {
        get
        {
            lock (_lock)
                return [.. _rejected];
        }
    }

    public byte[]? TryLoad(in TraceKey key, string? source)
    {
        lock (_lock)
            return _kept.GetValueOrDefault(NameOf(key));
    }

    public void Save(in TraceKey key, string? source, ReadOnlySpan<byte> trace)
    {
        if (key.Tenant == Held)
        {
            Interlocked.Increment(ref _waiting);
            _gate.Task.Wait();
            Interlocked.Decrement(ref _waiting);
        }

        lock (_lock)
            _kept[NameOf(key)] = trace.ToArray();
        Interlocked.Increment(ref _saves);
    }

    public bool Forget(in TraceKey key, string? source)
    {
        lock (_lock)
            return _kept.Remove(NameOf(key));
    }

    public void Rejected(in TraceKey key, string? source, string reason)
    {
        lock (_lock)
            _rejected.Add(reason);
    }

    // A defect in a run that a test has ended must not go unnoticed.
    public void Failed(in TraceKey key, string? source, Exception failure) => Environment.FailFast($"working set of {source}", failure);

    public void Release() => _gate.SetResult();

    /// <summary>Does something bad to everything that is kept.</summary>
    public void Spoil(Func<byte[], byte[]> how)
    {
        lock (_lock)
        {
            foreach ((string, ulong, ulong, int) name in _kept.Keys.ToArray())
                _kept[name] = how(_kept[name]);
        }
    }

    private static (string, ulong, ulong, int) NameOf(in TraceKey key) => (key.Tenant, key.Source.Device, key.Source.Inode, key.PageBytes);
}
