namespace UffdManager.Engine.State;

/// <summary>
/// The steps at which a manager may die with something half done. Tests make it die there; see <see cref="CrashPoints"/>.
/// </summary>
internal enum CrashPoint
{
    /// <summary>A session's state memory is written, nothing is stored.</summary>
    AttachRecorded,

    /// <summary>Its descriptors are stored, the fault loop does not know it.</summary>
    AttachStored,

    /// <summary>A range is recorded as wanted, the kernel knows nothing.</summary>
    RegisterRecorded,

    /// <summary>The kernel has the range, the record still says wanted.</summary>
    RegisterDone,

    /// <summary>A range is recorded as unwanted, the kernel still has it.</summary>
    UnregisterRecorded,

    /// <summary>The kernel has given the range up, the record still says unwanted.</summary>
    UnregisterDone,

    /// <summary>Messages were read, which acknowledged their events, and none was applied.</summary>
    EventsRead,

    /// <summary>An event was applied in full, its message still stands.</summary>
    EventApplied,

    /// <summary>A removed range's pages are partly noted.</summary>
    RemoveHalf,

    /// <summary>What is left of a cut region is recorded, the region itself still stands.</summary>
    CutHalf,

    /// <summary>Page states are copied to where a range moved, the regions are not.</summary>
    RemapPagesCopied,

    /// <summary>Regions are moved, the pages at the old place still stand.</summary>
    RemapRegionsMoved,

    /// <summary>A forked child's userfaultfd is in our table and nowhere else.</summary>
    ForkRead,

    /// <summary>It is stored, its state is not.</summary>
    ForkStored,

    /// <summary>Its state is complete, and not stored.</summary>
    ForkCopied,

    /// <summary>The kernel has a page, the page table does not say so.</summary>
    PageFilled,

    /// <summary>A shared image's page is claimed and not filled.</summary>
    ImageClaimed,

    /// <summary>A shared image's page is filled and still only claimed.</summary>
    ImageFilled,

    /// <summary>A session is over, its descriptors are still stored.</summary>
    EndBegun,

    /// <summary>Its descriptors are given up, ours are still open.</summary>
    EndUnstored,

    /// <summary>Some sessions are restored, others are not.</summary>
    RestoreHalf,

    /// <summary>All sessions are restored, none of their waiters was woken.</summary>
    RestoreDone,

    /// <summary>Half of the waiters were woken.</summary>
    WakeHalf,

    /// <summary>The loop takes a turn; for making it stand still.</summary>
    LoopTurn,
}
