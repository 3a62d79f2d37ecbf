using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Tests.State;

/// <summary>Plays the service manager: keeps duplicates by name, and gives them to whoever comes next.</summary>
public sealed class MemoryStore : IDescriptorStore, IDisposable
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, List<SafeFile>> _kept = new(StringComparer.Ordinal);

    // What waits in the manager's process; null gives up what is kept under the name.
    private readonly Queue<(string Name, List<SafeFile>? Descriptors)> _waiting = new();
    private int _room = int.MaxValue;
    private bool _isBehind;

    public bool IsKept => true;

    public bool IsPrompt
    {
        get
        {
            lock (_lock)
            {
                TimesAsked++;
                return !_isBehind;
            }
        }
    }

    /// <summary>How often somebody wanted to know whether it is prompt.</summary>
    public int TimesAsked { get; private set; }

    public bool IsSettled
    {
        get
        {
            lock (_lock)
                return _waiting.Count == 0;
        }
    }

    /// <summary>The service manager does not read: what is stored now waits in this process, until it reads again.</summary>
    public bool IsBehind
    {
        get => !IsPrompt;
        set
        {
            lock (_lock)
            {
                _isBehind = value;
                _room = int.MaxValue;
                while (!_isBehind && _waiting.TryDequeue(out (string Name, List<SafeFile>? Descriptors) next))
                    Carry(next.Name, next.Descriptors);
            }
        }
    }

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

    /// <summary>So many messages more find room; then it is behind.</summary>
    public void LeaveRoomFor(int messages)
    {
        lock (_lock)
            _room = messages;
    }

    /// <summary>The manager is gone, and what waited in it with it.</summary>
    public void LoseWaiting()
    {
        lock (_lock)
        {
            while (_waiting.TryDequeue(out (string Name, List<SafeFile>? Descriptors) next))
                next.Descriptors?.ForEach(descriptor => descriptor.Dispose());
        }

        IsBehind = false;
    }

    public bool TryStore(string name, ReadOnlySpan<SafeFd> descriptors)
    {
        if (IsFull)
            return false;
        List<SafeFile> duplicates = [];
        foreach (SafeFd descriptor in descriptors)
            duplicates.Add(descriptor.Duplicate<SafeFile>());
        Send(name, duplicates);
        return true;
    }

    public void Remove(string name) => Send(name, null);

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
        LoseWaiting();
        foreach (string name in Names)
            Remove(name);
    }

    private void Send(string name, List<SafeFile>? descriptors)
    {
        lock (_lock)
        {
            if (_isBehind)
            {
                _waiting.Enqueue((name, descriptors));
                return;
            }

            Carry(name, descriptors);
            _isBehind = _room != int.MaxValue && --_room == 0;
        }
    }

    private void Carry(string name, List<SafeFile>? descriptors)
    {
        if (descriptors is not null)
        {
            if (!_kept.TryGetValue(name, out List<SafeFile>? list))
                _kept[name] = list = [];
            list.AddRange(descriptors);
        }
        else if (_kept.Remove(name, out List<SafeFile>? list))
        {
            list.ForEach(descriptor => descriptor.Dispose());
        }
    }
}
