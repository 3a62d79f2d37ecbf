using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;

namespace UffdManager.Engine.Regions;

/// <summary>
/// A registered range of one session. Belongs to the fault loop of the session. A region that is cut gives new regions of the same
/// generation; a fetch remembers the <see cref="Generation"/> it started under and finds out by it, page by page, whether the range was
/// registered anew meanwhile. Owns one reference to its source
/// and one to its image.
/// </summary>
internal sealed class Region
{
    public required ulong Start { get; set; }

    public required ulong End { get; set; }

    /// <summary>Bytes: the base page, or the huge page of a hugetlb mapping.</summary>
    public required ulong PageBytes { get; init; }

    public required UffdRegisterModes Modes { get; init; }

    public required UffdIoctls Ioctls { get; init; }

    public required RegionFlags Flags { get; init; }

    public required Policy Policy { get; init; }

    public required PageSource Source { get; init; }

    public SharedImage? Image { get; init; }

    /// <summary>Source offset of the region's first byte.</summary>
    public required long SourceOffset { get; set; }

    /// <summary>Of the registration; unique within the engine, never reused.</summary>
    public required long Generation { get; init; }

    /// <summary>The run that its first touches are recorded for; null for none.</summary>
    public WorkingSetRun? Run { get; set; }

    /// <summary>Where it is recorded for the next manager; 0 for not.</summary>
    public nuint Record { get; set; }

    public ulong Length => End - Start;

    /// <summary>Whether the first write of a page must be seen, so that nothing may be installed that can be written without a fault.</summary>
    public bool SeesWrites => (Flags & (RegionFlags.WriteProtected | RegionFlags.Tracked)) != 0;

    /// <summary>Whether every change of contents is noted in the page table.</summary>
    public bool IsTracked => (Flags & RegionFlags.Tracked) != 0;

    /// <summary>
    /// Whether it maps a shared image of which each first touch is told. Without the mode minor the kernel maps what is filled already (for another client) without a word.
    /// </summary>
    public bool TellsImageTouches => Image is not null && (Modes & UffdRegisterModes.Minor) != 0;

    public bool IsHuge => PageBytes != (ulong)PageSize.Base;

    public long OffsetOf(ulong address) => SourceOffset + (long)(address - Start);

    /// <summary>The same registration over another piece of memory; holds references of its own.</summary>
    public Region Derive(ulong start, ulong end, long sourceOffset, long generation, RegionFlags? flags = null, UffdRegisterModes? modes = null) => new()
    {
        Start = start,
        End = end,
        PageBytes = PageBytes,
        Modes = modes ?? Modes,
        Ioctls = Ioctls,
        Flags = flags ?? Flags,
        Policy = Policy,
        Source = Source.AddReference(),
        Image = Image?.AddReference(),
        SourceOffset = sourceOffset,
        Generation = generation,
        Run = Run,
    };

    /// <summary>Drops the references to source and image; called once, by the map that owned the region.</summary>
    public void Release()
    {
        Source.Dispose();
        Image?.Dispose();
    }
}
