namespace UffdManager.Engine.Loops;

/// <summary>
/// Faults of one session that wait. At most one per page, which the page's flag ensures, however often a spinning thread asks; and at most
/// <see cref="Capacity"/>, because a thread that leaves its fault by a signal handler can ask for one page after another.
/// </summary>
internal sealed class DeferredQueue
{
    /// <summary>Faults that may wait at a time; whoever comes beyond is woken, and asks again.</summary>
    public const int Capacity = 65536;

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

    /// <summary>Moves all faults that are due into a list; one pass.</summary>
    public void TakeDue(long now, List<DeferredFault> into)
    {
        into.Clear();
        if (now < NextDue)
        {
            return;
        }

        int kept = 0;
        NextDue = long.MaxValue;
        for (int i = 0; i < Count; i++)
        {
            if (_faults[i].DueAt <= now)
            {
                into.Add(_faults[i]);
            }
            else
            {
                NextDue = Math.Min(NextDue, _faults[i].DueAt);
                _faults[kept++] = _faults[i];
            }
        }

        Count = kept;
    }

    /// <summary>Moves all faults whose address lies in [start, end) into a list; one pass.</summary>
    public void TakeWithin(ulong start, ulong end, List<DeferredFault> into)
    {
        into.Clear();
        if (Count == 0)
        {
            return;
        }

        int kept = 0;
        NextDue = long.MaxValue;
        for (int i = 0; i < Count; i++)
        {
            if (_faults[i].Address >= start && _faults[i].Address < end)
            {
                into.Add(_faults[i]);
            }
            else
            {
                NextDue = Math.Min(NextDue, _faults[i].DueAt);
                _faults[kept++] = _faults[i];
            }
        }

        Count = kept;
    }

    public void Clear()
    {
        Count = 0;
        NextDue = long.MaxValue;
    }
}
