namespace UffdManager.Engine.Regions;

/// <summary>
/// What the engine knows of one page, one byte: a state in the low bits and flags above. Absent is zero, so that memory nobody
/// touched costs nothing.
/// </summary>
[Flags]
internal enum PageState : byte
{
    /// <summary>Never installed by us: the source has the contents.</summary>
    Absent = 0,

    /// <summary>A fetch is on its way; whoever faults meanwhile is woken by its end.</summary>
    InFlight = 1,

    /// <summary>Installed, or found present.</summary>
    Present = 2,

    /// <summary>Given back by the client (madvise): zeros from now on, whatever the source says.</summary>
    Removed = 3,

    /// <summary>Marked with UFFDIO_POISON.</summary>
    Poisoned = 4,

    /// <summary>The state without the flags.</summary>
    StateMask = 7,

    /// <summary>
    /// Written since it was write-protected. In a tracked region: other contents than when it was noted last, which a page that was given back has too,
    /// and one of a range that was registered since.
    /// </summary>
    Dirty = 0x08,

    /// <summary>A fault of this page sits in the deferred queue: further ones are duplicates.</summary>
    Deferred = 0x10,

    /// <summary>Set on pages in flight that somebody really waits for, as opposed to fault-around.</summary>
    Waited = 0x20,

    /// <summary>
    /// Set on a huge page whose COPY said EEXIST although nothing is known to be there: the pool may be empty. Whatever else the page is stays
    /// true, and a fetch that starts meanwhile inherits it.
    /// </summary>
    Suspect = 0x40,

    /// <summary>Every bit that has a meaning; the top one belongs to how the state is stored.</summary>
    AllBits = 0x7f,
}
