using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>Reads one session's state memory and makes what the fault loop needs of it. Nothing here touches the client.</summary>
internal static class SessionRestorer
{
    /// <summary>Reads everything and proves it.</summary>
    /// <param name="memory">What was stored.</param>
    /// <param name="sessionId">Whose it should be.</param>
    /// <exception cref="CorruptStateException">Something does not check.</exception>
    public static RecoveredSession Read(StateMemory memory, long sessionId)
    {
        if (memory.SessionId != sessionId)
        {
            throw new CorruptStateException($"the state memory is that of session {memory.SessionId}");
        }

        SessionLedger ledger = new(memory);
        UsedBlocks used = memory.FindUsed();
        RecoveredLedger recovered = ledger.Recover(used);
        using PageTable table = new(memory, new TenantUsage(), long.MaxValue);
        long present = table.Recover(used);

        if (recovered.Record.Id != sessionId)
        {
            throw new CorruptStateException($"the record is that of session {recovered.Record.Id}");
        }

        if (ledger.LacksAwaited)
        {
            throw new CorruptStateException($"more than {StateLayout.AwaitedEntries} events were outstanding that tell of one another (remaps of many threads onto each other's ranges)");
        }

        // Read now, so that what does not check is found before anything is done about the session.
        _ = ledger.Unregistering;
        _ = ledger.ForkedChild;
        _ = ledger.UnstoredForkSince;
        _ = ledger.ReadAwaited();
        memory.Reclaim(used);
        return new RecoveredSession(ledger, recovered, table.Bytes, present);
    }

    /// <summary>Makes the subjects of all documents, by ordinal.</summary>
    public static object?[] ReadDocuments(RecoveredSession recovered, RestoredParts parts)
    {
        object?[] subjects = new object?[recovered.Content.Documents.Count];
        for (int ordinal = 0; ordinal < subjects.Length; ordinal++)
        {
            (DocumentKind kind, byte[] bytes) = recovered.Content.Documents[ordinal];
            if (kind != DocumentKind.None)
            {
                subjects[ordinal] = parts.Read(kind, bytes);
                recovered.Ledger.Bind(ordinal, subjects[ordinal]!);
            }
        }

        return subjects;
    }

    /// <summary>The subject that a region or session refers to.</summary>
    public static T Subject<T>(object?[] subjects, int ordinal)
        where T : class =>
        (uint)ordinal < (uint)subjects.Length && subjects[ordinal] is T subject
            ? subject
            : throw new CorruptStateException($"document {ordinal} is not there, or of another kind");

    /// <summary>Makes a region of its record.</summary>
    /// <returns>Owns references to its source and image.</returns>
    public static Region MakeRegion(nuint place, object?[] subjects, long generation)
    {
        RegionRecord record = NativePages.At<RegionRecord>(place);
        if (record.Start >= record.End || !PageSize.IsAligned(record.Start | record.End, (ulong)PageSize.Base) || !ulong.IsPow2(record.PageBytes))
        {
            throw new CorruptStateException($"a region is recorded as 0x{record.Start:x}..0x{record.End:x}");
        }

        PageSource source = record.Source == 0 ? ZeroSource.Instance : Subject<PageSource>(subjects, record.Source - 1);
        SharedImage? image = record.Image == 0 ? null : Subject<SharedImage>(subjects, record.Image - 1);
        return new Region
        {
            Start = record.Start,
            End = record.End,
            PageBytes = record.PageBytes,
            Modes = record.Modes,
            Ioctls = record.Ioctls,
            Flags = record.Flags,
            Policy = Subject<Policy>(subjects, record.Policy),
            Source = source.AddReference(),
            Image = image?.AddReference(),
            SourceOffset = record.SourceOffset,
            Generation = generation,
        };
    }
}
