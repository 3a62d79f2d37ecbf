using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Tests.State;

/// <summary>Plays the service manager: keeps duplicates by name, and gives them to whoever comes next.</summary>
public sealed class MemoryStore : IDescriptorStore, IDisposable
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, List<SafeFile>> _kept = new(StringComparer.Ordinal);

    public bool IsKept => true;

    public bool IsPrompt => !IsBehind;

    /// <summary>The service manager does not read: what is stored now waits in this process.</summary>
    public bool IsBehind { get; set; }

    /// <summary>From now on there is no room.</summary>
    public bool IsFull { get; set; }

    public IReadOnlyList<string> Names
    {
        get
        {
            lock (_lock)
                return [.. _kept.Keys.Order(StringComparer.Ordinal)];
        }
    }

    public bool TryStore(string name, ReadOnlySpan<SafeFd> descriptors)
    {
        if (IsFull)
            return false;
        lock (_lock)
        {
            if (!_kept.TryGetValue(name, out List<SafeFile>? list))
                _kept[name] = list = [];
            foreach (SafeFd descriptor in descriptors)
                list.Add(descriptor.Duplicate<SafeFile>());
        }

        return true;
    }

    public void Remove(string name)
    {
        lock (_lock)
        {
            if (_kept.Remove(name, out List<SafeFile>? list))
                list.ForEach(descriptor => descriptor.Dispose());
        }
    }

    public Task SettleAsync() => Task.CompletedTask;

    public Task<bool> SynchronizeAsync(TimeSpan patience) => Task.FromResult(true);

    /// <summary>What the next manager is given; it owns it.</summary>
    public IReadOnlyList<StoredDescriptor> HandOn()
    {
        lock (_lock)
            return [.. _kept.SelectMany(entry => entry.Value.Select(descriptor => new StoredDescriptor(entry.Key, descriptor.Duplicate<SafeFile>())))];
    }

    /// <summary>Drops one of the descriptors of a name.</summary>
    public void Lose(string name, Func<SafeFd, bool> which)
    {
        lock (_lock)
        {
            SafeFile lost = _kept[name].Single(descriptor => which(descriptor));
            _kept[name].Remove(lost);
            lost.Dispose();
        }
    }

    /// <summary>One of the descriptors of a name, borrowed.</summary>
    public SafeFd Peek(string name, Func<SafeFd, bool> which)
    {
        lock (_lock)
            return _kept[name].Single(descriptor => which(descriptor));
    }

    /// <summary>The descriptors of a name, borrowed.</summary>
    public IReadOnlyList<SafeFd> All(string name)
    {
        lock (_lock)
            return [.. _kept[name]];
    }

    public void Dispose()
    {
        foreach (string name in Names)
            Remove(name);
    }
}
