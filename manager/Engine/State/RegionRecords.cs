using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>
/// The regions of one session in its state memory: blocks of records, chained. Nothing moves: a region has its place for as long as it stands.
/// </summary>
/// <remarks>
/// A region that is cut is replaced by pieces that name it. They are written first, then the region is unmade by one store. Until that store a
/// successor takes the region and drops the pieces, and does the cut over again; from then on it takes the pieces.
/// </remarks>
internal sealed class RegionRecords
{
    private const int PerBlock = (StateLayout.LargeBlock / RegionRecord.Size) - 1;

    private readonly StateMemory _memory;
    private readonly Stack<nuint> _free = new();
    private nuint _lastLink;
    private ulong _lastId;

    public RegionRecords(StateMemory memory)
    {
        _memory = memory;
        _lastLink = memory.Base + StateLayout.RegionCell;
    }

    /// <summary>Writes a record.</summary>
    /// <returns>Its address, or 0 when there is no memory for it.</returns>
    public nuint TryWrite(RegionRecord record, RegionRecordState state)
    {
        if (!_free.TryPop(out nuint place) && (place = TryExtend()) == 0)
        {
            return 0;
        }

        record.Id = ++_lastId;
        record.Tag = 0;
        NativePages.At<RegionRecord>(place) = record;
        SetState(place, state);
        return place;
    }

    /// <summary>The number of a record.</summary>
    public static ulong IdOf(nuint place) => NativePages.At<RegionRecord>(place).Id;

    /// <summary>Changes what a record means.</summary>
    public static void SetState(nuint place, RegionRecordState state) =>
        Volatile.Write(ref NativePages.At<RegionRecord>(place).Tag, (uint)state | ((ulong)CheckOf(place) << 32));

    /// <summary>Unmakes a record; its place is used again.</summary>
    public void Free(nuint place)
    {
        Volatile.Write(ref NativePages.At<RegionRecord>(place).Tag, 0);
        _free.Push(place);
    }

    /// <summary>Reads what another manager left behind: what counts is returned, what does not is freed.</summary>
    /// <exception cref="CorruptStateException">Something does not check.</exception>
    public List<(nuint Place, RegionRecordState State)> Recover(UsedBlocks used)
    {
        List<(nuint Place, RegionRecordState State)> found = [];
        HashSet<ulong> standing = [];
        nuint link = _memory.Base + StateLayout.RegionCell;
        while (_memory.ReadCheckedCell(link) is ulong offset and not 0)
        {
            used.Mark(offset, StateLayout.LargeBlock);
            link = _memory.AddressOf(offset);
            for (int i = 1; i <= PerBlock; i++)
            {
                nuint place = link + (nuint)(i * RegionRecord.Size);
                RegionRecordState state = CheckedState(place);
                if (state == RegionRecordState.Free)
                {
                    _free.Push(place);
                    continue;
                }

                found.Add((place, state));
                standing.Add(IdOf(place));
                _lastId = Math.Max(_lastId, IdOf(place));
            }
        }

        _lastLink = link;
        foreach ((nuint place, _) in found.Where(record => standing.Contains(NativePages.At<RegionRecord>(record.Place).Replaces)))
        {
            // Half of a change that its maker did not live to complete.
            Free(place);
        }

        found.RemoveAll(record => NativePages.At<RegionRecord>(record.Place).Tag == 0);
        return found;
    }

    private static RegionRecordState CheckedState(nuint place)
    {
        ulong tag = NativePages.At<RegionRecord>(place).Tag;
        RegionRecordState state = (RegionRecordState)(tag & 0xff);
        if (tag == 0)
        {
            return RegionRecordState.Free;
        }

        return state is RegionRecordState.Wanted or RegionRecordState.Standing or RegionRecordState.Aside && tag == ((uint)state | ((ulong)CheckOf(place) << 32))
            ? state
            : throw new CorruptStateException("a region's record does not check");
    }

    private static uint CheckOf(nuint place) => StateChecks.Crc(NativePages.AsSpan(place + RegionRecord.CheckedFrom, RegionRecord.CheckedBytes));

    private nuint TryExtend()
    {
        nuint block = _memory.TryAllocate(StateMemory.LargeKind);
        if (block == 0)
        {
            return 0;
        }

        StateMemory.WriteCell(_lastLink, _memory.OffsetOf(block));
        _lastLink = block;
        for (int i = PerBlock; i > 1; i--)
        {
            _free.Push(block + (nuint)(i * RegionRecord.Size));
        }

        return block + RegionRecord.Size;
    }
}
