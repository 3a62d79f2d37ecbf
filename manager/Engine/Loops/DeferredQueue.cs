namespace UffdManager.Engine.Loops;

/// <summary>
/// Faults of one session that wait. At most one per page and kind, which the page's flag ensures, so its length is bounded by the
/// client's threads and not by how often a spinning thread asks.
/// </summary>
internal sealed class DeferredQueue
{
    private DeferredFault[] _faults = [];

    public int Count { get; private set; }

    /// <summary>The earliest due time; <see cref="long.MaxValue"/> when empty.</summary>
    public long NextDue { get; private set; } = long.MaxValue;

    public void Add(in DeferredFault fault)
    {
        if (Count == _faults.Length)
        {
            Array.Resize(ref _faults, Math.Max(16, Count * 2));
        }

        _faults[Count++] = fault;
        NextDue = Math.Min(NextDue, fault.DueAt);
    }

    /// <summary>Takes out one fault that is due; false when none is.</summary>
    public bool TryTakeDue(long now, out DeferredFault fault)
    {
        fault = default;
        if (now < NextDue)
        {
            return false;
        }

        for (int i = 0; i < Count; i++)
        {
            if (_faults[i].DueAt <= now)
            {
                fault = _faults[i];
                _faults[i] = _faults[--Count];
                Recompute();
                return true;
            }
        }

        Recompute();
        return false;
    }

    /// <summary>Takes out the first fault whose address lies in [start, end); false when there is none.</summary>
    public bool TryTakeWithin(ulong start, ulong end, out DeferredFault fault)
    {
        for (int i = 0; i < Count; i++)
        {
            if (_faults[i].Address >= start && _faults[i].Address < end)
            {
                fault = _faults[i];
                _faults[i] = _faults[--Count];
                Recompute();
                return true;
            }
        }

        fault = default;
        return false;
    }

    public void Clear()
    {
        Count = 0;
        NextDue = long.MaxValue;
    }

    private void Recompute()
    {
        long due = long.MaxValue;
        for (int i = 0; i < Count; i++)
        {
            due = Math.Min(due, _faults[i].DueAt);
        }

        NextDue = due;
    }
}
