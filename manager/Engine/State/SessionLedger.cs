using System.Runtime.InteropServices;
using System.Text.Json;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>What a successor must know of one session, kept in the session's state memory as it happens. Belongs to the session's fault loop.</summary>
internal sealed class SessionLedger : IDisposable
{
    private readonly RegionRecords _records;
    private readonly StateDocuments _documents;
    private long _recordSequence;

    public SessionLedger(StateMemory memory)
    {
        Memory = memory;
        _records = new RegionRecords(memory);
        _documents = new StateDocuments(memory);
    }

    public StateMemory Memory { get; }

    /// <summary>Whether something could not be recorded for lack of memory. Such a session must not go on: a successor would take it for another one.</summary>
    public bool IsIncomplete { get; private set; }

    /// <summary>Where the kernel is to write messages, at most so many.</summary>
    public Span<UffdMessage> Inbox(int most) =>
        MemoryMarshal.Cast<byte, UffdMessage>(NativePages.AsSpan(Memory.Base + StateLayout.Inbox, StateLayout.InboxBytes))[..Math.Min(most, InboxMessages)];

    /// <summary>Messages that the inbox holds.</summary>
    public static int InboxMessages { get; } = StateLayout.InboxBytes / Marshal.SizeOf<UffdMessage>();

    /// <summary>Number of the session of the forked child whose event is being worked on; 0 for none.</summary>
    public long ForkedChild
    {
        get => (long)Memory.ReadCheckedCell(Memory.Base + StateLayout.ForkCell);
        set => StateMemory.WriteCell(Memory.Base + StateLayout.ForkCell, (ulong)value);
    }

    /// <summary>Children that were forked since then may have a userfaultfd that is on its way to the store, in this process alone: nanoseconds of CLOCK_BOOTTIME, rounded down; 0 when there is none.</summary>
    public long UnstoredForkSince
    {
        get => (long)Memory.ReadCheckedCell(Memory.Base + StateLayout.UnstoredForkCell) * StateLayout.UnstoredForkUnit;
        set => StateMemory.WriteCell(Memory.Base + StateLayout.UnstoredForkCell, (ulong)(value / StateLayout.UnstoredForkUnit));
    }

    /// <summary>Whether more events are awaited than could be recorded.</summary>
    public bool LacksAwaited
    {
        get => Memory.ReadCheckedCell(Memory.Base + StateLayout.OverflowCell) != 0;
        set => StateMemory.WriteCell(Memory.Base + StateLayout.OverflowCell, value ? 1UL : 0);
    }

    /// <summary>Records the ranges of which events are still to come; true if all have found a place.</summary>
    public bool WriteAwaited(IReadOnlyList<AwaitedRange> ranges)
    {
        nuint cell = Memory.Base + StateLayout.AwaitedCell;
        ulong list = (StateMemory.ReadCell(cell) & 1) ^ 1;
        int count = Math.Min(ranges.Count, StateLayout.AwaitedEntries);
        for (int i = 0; i < count; i++)
        {
            nuint entry = AwaitedEntry(list, i);
            StateMemory.WriteCell(entry, ranges[i].Start / (ulong)PageSize.Base);
            StateMemory.WriteCell(entry + 8, ranges[i].End / (ulong)PageSize.Base);
            StateMemory.WriteCell(entry + 16, ranges[i].IsDisplaced ? 2UL : 1);
            StateMemory.WriteCell(entry + 24, ranges[i].Aside / (ulong)PageSize.Base);
        }

        StateMemory.WriteCell(cell, list | ((ulong)count << 1));
        return count == ranges.Count;
    }

    /// <summary>What <see cref="WriteAwaited"/> recorded last.</summary>
    /// <exception cref="CorruptStateException">Something does not check.</exception>
    public List<AwaitedRange> ReadAwaited()
    {
        List<AwaitedRange> ranges = [];
        ulong which = Memory.ReadCheckedCell(Memory.Base + StateLayout.AwaitedCell);
        for (int i = 0; i < (int)(which >> 1) && i < StateLayout.AwaitedEntries; i++)
        {
            nuint entry = AwaitedEntry(which & 1, i);
            ranges.Add(new AwaitedRange(
                Memory.ReadCheckedCell(entry) * (ulong)PageSize.Base,
                Memory.ReadCheckedCell(entry + 8) * (ulong)PageSize.Base,
                Memory.ReadCheckedCell(entry + 16) == 2,
                Memory.ReadCheckedCell(entry + 24) * (ulong)PageSize.Base));
        }

        return ranges;
    }

    /// <summary>The range that is being unregistered; empty for none.</summary>
    public (ulong Start, ulong End) Unregistering
    {
        get => (Memory.ReadCheckedCell(Memory.Base + StateLayout.UnregisterStartCell) * (ulong)PageSize.Base,
            Memory.ReadCheckedCell(Memory.Base + StateLayout.UnregisterEndCell) * (ulong)PageSize.Base);
        set
        {
            // The start makes it count: last to be written, first to be taken back.
            nuint start = Memory.Base + StateLayout.UnregisterStartCell;
            StateMemory.WriteCell(start, 0);
            StateMemory.WriteCell(Memory.Base + StateLayout.UnregisterEndCell, value.End / (ulong)PageSize.Base);
            StateMemory.WriteCell(start, value.Start / (ulong)PageSize.Base);
        }
    }

    /// <summary>Writes the session's own record: over the older copy, which counts as soon as it is complete.</summary>
    public void Write(SessionRecord record)
    {
        Memory.WriteProcess(record.Pid, record.ProcessStartTime);
        byte[] bytes = JsonSerializer.SerializeToUtf8Bytes(record, StateJson.Default.SessionRecord);
        _recordSequence++;
        nuint copy = Memory.Base + (nuint)(_recordSequence % 2 == 0 ? StateLayout.RecordA : StateLayout.RecordB);
        if (!SessionRecordCopy.TryWrite(copy, _recordSequence, bytes))
        {
            IsIncomplete = true;
        }
    }

    /// <summary>Ordinal of a policy's document, used once more; -1 when there is no memory for it.</summary>
    public int Use(Policies.Policy policy) => _documents.Use(
        policy, DocumentKind.Policy, () => JsonSerializer.SerializeToUtf8Bytes(PolicyDocument.Of(policy), StateJson.Default.PolicyDocument));

    /// <summary>Records a region.</summary>
    /// <param name="region">Gets the record.</param>
    /// <param name="state">What it means.</param>
    /// <param name="replaced">The region that it is a piece of, or null.</param>
    /// <returns>False when there is no memory for it.</returns>
    public bool Record(Region region, RegionRecordState state = RegionRecordState.Standing, Region? replaced = null)
    {
        int policy = Use(region.Policy);
        int source = Use(region.Source);
        int image = region.Image is null ? 0 : Use(region.Image);
        if (policy < 0 || source < 0 || image < 0)
        {
            // What is only wanted can be refused; what stands in the kernel cannot.
            IsIncomplete |= state != RegionRecordState.Wanted;
            return false;
        }

        region.Record = _records.TryWrite(
            new RegionRecord
            {
                Replaces = replaced is null ? 0 : RegionRecords.IdOf(replaced.Record),
                Start = region.Start,
                End = region.End,
                SourceOffset = region.SourceOffset,
                Ioctls = region.Ioctls,
                Modes = region.Modes,
                PageBytes = region.PageBytes,
                Flags = region.Flags,
                Policy = policy,
                Source = source,
                Image = image,
            },
            state);
        IsIncomplete |= region.Record == 0 && state != RegionRecordState.Wanted;
        return region.Record != 0;
    }

    /// <summary>Changes what a region's record means.</summary>
    public static void SetState(Region region, RegionRecordState state) => RegionRecords.SetState(region.Record, state);

    /// <summary>Unmakes a region's record.</summary>
    public void Forget(Region region)
    {
        if (region.Record == 0)
        {
            return;
        }

        RegionRecord record = NativePages.At<RegionRecord>(region.Record);
        _records.Free(region.Record);
        region.Record = 0;
        _documents.Release(record.Policy);
        if (record.Source > 0)
        {
            _documents.Release(record.Source - 1);
        }

        if (record.Image > 0)
        {
            _documents.Release(record.Image - 1);
        }
    }

    /// <summary>Reads what another manager left behind.</summary>
    /// <exception cref="CorruptStateException">Something does not check.</exception>
    public RecoveredLedger Recover(UsedBlocks used)
    {
        (SessionRecord record, _recordSequence) = SessionRecordCopy.Newest(Memory);
        List<(DocumentKind Kind, byte[] Bytes)> documents = _documents.Recover(used);
        return new RecoveredLedger(record, documents, _records.Recover(used));
    }

    /// <summary>Tells who is described by a recovered document.</summary>
    public void Bind(int ordinal, object subject) => _documents.Bind(ordinal, subject);

    /// <summary>A recovered region goes on with the record that it has.</summary>
    public void Resume(Region region, nuint place)
    {
        region.Record = place;
        Use(region.Policy);
        Use(region.Source);
        if (region.Image is SharedImage image)
        {
            Use(image);
        }
    }

    /// <summary>Ends the recovery: documents that nothing uses make room.</summary>
    public void DropUnused() => _documents.DropUnused();

    public void Dispose() => Memory.Dispose();

    private nuint AwaitedEntry(ulong list, int index) =>
        Memory.Base + StateLayout.AwaitedLists + (nuint)((((int)list * StateLayout.AwaitedEntries) + index) * StateLayout.AwaitedEntryBytes);

    private int Use(PageSource source) => source is ZeroSource ? 0 : AfterNone(_documents.Use(
        source, DocumentKind.Source, () => JsonSerializer.SerializeToUtf8Bytes(source.Describe(), StateJson.Default.SourceDocument)));

    private int Use(SharedImage image) => AfterNone(_documents.Use(
        image, DocumentKind.Image, () => JsonSerializer.SerializeToUtf8Bytes(new ImageReference(image.StoreId), StateJson.Default.ImageReference)));

    // 0 stands for none.
    private static int AfterNone(int ordinal) => ordinal < 0 ? ordinal : ordinal + 1;
}
