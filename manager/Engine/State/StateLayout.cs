namespace UffdManager.Engine.State;

/// <summary>Where things are in the state memory of a session. All numbers are little endian; offsets count from its first byte.</summary>
/// <remarks>
/// <code>
///      0  header: what never changes and its check, then cells that each change by one store
///   4096  inbox: the kernel writes the messages of the userfaultfd here, so that an event is on record the moment it is acknowledged
///   8192  session record, copy A      12288  copy B: the valid one with the higher sequence counts
///  16384  blocks: page table nodes and leaves, region records, documents; found by following cells from the header
/// </code>
/// A block that no cell leads to is free, whatever it contains. A successor follows the cells and knows what is in use.
/// </remarks>
internal static class StateLayout
{
    /// <summary>"UFFDSTAT".</summary>
    public const ulong Magic = 0x5441_5453_4446_4655;

    /// <summary>What this build writes. It reads this one and every one before.</summary>
    public const uint Version = 1;

    public const int BaseOfMagic = 0;
    public const int BaseOfVersion = 8;
    public const int BaseOfPageBytes = 12;
    public const int BaseOfSessionId = 16;
    public const int BaseOfFixedCheck = 24;
    public const int FixedBytes = 24;

    /// <summary>Cell: root of the page table.</summary>
    public const int RootCell = 64;

    /// <summary>Cell: root of the page table of what is set aside, which has addresses of its own (<see cref="AsideBase"/>).</summary>
    public const int AsideRootCell = 144;

    /// <summary>
    /// First of the addresses under which contents are kept that a remap of somebody else has displaced: no process has memory there, and no event can
    /// name them.
    /// </summary>
    public const ulong AsideBase = 1UL << 48;

    /// <summary>Cell: first block of region records.</summary>
    public const int RegionCell = 72;

    /// <summary>Cell: first document.</summary>
    public const int DocumentCell = 80;

    /// <summary>Cell: first page number of a range that is being unregistered; 0 for none.</summary>
    public const int UnregisterStartCell = 88;

    /// <summary>Cell: the page number after it; written before the start.</summary>
    public const int UnregisterEndCell = 96;

    /// <summary>Cell: number of the session of a forked child whose event is being worked on; 0 for none.</summary>
    public const int ForkCell = 104;

    /// <summary>Cell: since when userfaultfds of forked children may be in no store (milliseconds of CLOCK_BOOTTIME); 0 when all are.</summary>
    public const int UnstoredForkCell = 152;

    /// <summary>Nanoseconds that <see cref="UnstoredForkCell"/> counts in: what a cell holds is not wide enough for three days of them.</summary>
    public const long UnstoredForkUnit = 1_000_000;

    /// <summary>Cell: 1 while more events are awaited than the lists have room for.</summary>
    public const int OverflowCell = 112;

    /// <summary>Cells: the process, also in the record, but here it can be read whatever has become of that one.</summary>
    public const int PidCell = 128;
    public const int StartTimeCell = 136;

    /// <summary>Cell: which of the two lists of awaited ranges counts, in the lowest bit, and how many entries it has.</summary>
    public const int AwaitedCell = 120;

    /// <summary>
    /// The two lists: cells of start and end (page numbers), of 1 for vacated, 2 for displaced, and of the page number where the contents are kept.
    /// </summary>
    public const int AwaitedLists = 1024;
    public const int AwaitedEntryBytes = 32;
    public const int AwaitedEntries = 48;

    public const int Inbox = 4096;
    public const int InboxBytes = 4096;
    public const int RecordA = 8192;
    public const int RecordB = 12288;
    public const int RecordBytes = 4096;
    public const int Blocks = 16384;

    /// <summary>Sizes of blocks by kind.</summary>
    public const int SmallBlock = 512;
    public const int LargeBlock = 4096;
}
