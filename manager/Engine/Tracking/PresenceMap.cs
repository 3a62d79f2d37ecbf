using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Engine.Tracking;

/// <summary>
/// Which memory of a client need be write-protected only where pages are: private anonymous memory, and shared images, of which every first touch of a missing page is a
/// fault. To protect what is not there would cost the client page tables, and make it look as if it were in swap.
/// </summary>
/// <remarks>Everything else (shared memory, private files) can get pages without a fault, and is protected whole.</remarks>
internal sealed class PresenceMap : IDisposable
{
    private readonly SafeFile? _pagemap;
    private readonly IReadOnlyList<VmaInfo> _mappings;

    private readonly long _generation;
    private Region? _registering;
    private ulong _registeredBelow;
    private bool _isInHole;

    private PresenceMap(SafeFile? pagemap, IReadOnlyList<VmaInfo> mappings, long generation)
    {
        _pagemap = pagemap;
        _mappings = mappings;
        _generation = generation;
    }

    /// <summary>Looks at the mappings of a session's process: reads files of /proc, so not on a fault loop.</summary>
    public static PresenceMap Of(Session session)
    {
        long generation = session.Loop.NextGeneration();
        SafeFile? pagemap = null;
        try
        {
            pagemap = PagemapScan.OpenPagemap(session.Pid);
        }
        catch (SyscallException)
        {
            // Then everything is protected whole.
        }

        return new PresenceMap(pagemap, ProcessInfo.ReadMaps(session.Pid), generation);
    }

    /// <summary>The page map of the process, bound to the memory that it had when it was opened; null where there is none to be had.</summary>
    public SafeFile? Pagemap => _pagemap;

    /// <summary>Whether the kernel has told so far where pages are; it cannot before Linux 6.7. Belongs to the session's fault loop.</summary>
    public bool Tells { get; set; } = true;

    /// <summary>
    /// Up to where mappings have been asked after that the client has put over its regions without an event. Belongs to the session's fault loop; whoever makes the map says where to begin.
    /// </summary>
    public ulong HolesKnownBelow { get; set; }

    /// <summary>Up to where a region has been registered in pieces with the help of this. Belongs to the session's fault loop.</summary>
    public ulong RegisteredBelow(Region region) => _registering == region ? _registeredBelow : region.Start;

    /// <summary>Notes that. In a hole its pages are looked at one by one from there on.</summary>
    public void NoteRegistered(Region region, ulong end, bool isHole) => (_registering, _registeredBelow, _isInHole) = (region, end, isHole);

    /// <summary>Where a mapping ends that an address lay in at the look, or what was unmapped then; in a hole, the page. Not behind the end of the region.</summary>
    public ulong EndOfMapping(Region region, ulong address, out bool isMapped)
    {
        int index = FirstAbove(address);
        isMapped = index < _mappings.Count && _mappings[index].Start <= address;
        ulong end = index == _mappings.Count ? region.End : isMapped ? _mappings[index].End : _mappings[index].Start;
        bool isPage = isMapped && _isInHole && _registering == region;
        return Math.Min(isPage ? address + region.PageBytes : PageSize.AlignUp(end, region.PageBytes), region.End);
    }

    /// <summary>Whether only pages that are there need protection in a part of a region.</summary>
    public bool IsSparse(Region region, ulong start, ulong end) =>
        _pagemap is not null
        && IsCurrent(region)
        && (region.Modes & UffdRegisterModes.Missing) != 0
        && (region.TellsImageTouches || IsPrivateAnonymous(region, start, end));

    /// <summary>Whether arming a part of a region finds what is there.</summary>
    public bool TellsOf(Region region, ulong start, ulong end) => Tells && IsSparse(region, start, end);

    /// <summary>Whether a region was registered before the mappings were looked at: what they say of a later one may be of what was there before.</summary>
    public bool IsCurrent(Region region) => region.Generation < _generation;

    /// <summary>Whether some byte lies in memory that other processes may have mapped too.</summary>
    public bool IsShared(ulong start, ulong end)
    {
        for (int index = FirstAbove(start); index < _mappings.Count && _mappings[index].Start < end; index++)
        {
            if (_mappings[index].Shared)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether every byte lies in private memory that no file is behind, or none that could be told.</summary>
    public bool IsPrivateAnonymous(Region region, ulong start, ulong end)
    {
        int index = FirstAbove(start);
        if (index == _mappings.Count || _mappings[index].Start >= end)
        {
            return false;
        }

        for (; index < _mappings.Count && _mappings[index].Start < end; index++)
        {
            VmaInfo mapping = _mappings[index];
            if (mapping.Shared || (mapping.Inode != 0 && !(region.IsHuge && mapping.Path.StartsWith("/anon_hugepage", StringComparison.Ordinal))))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Whether the mappings could be read at all.</summary>
    public bool HasMappings => _mappings.Count > 0;

    /// <summary>Whether anything was mapped in a range, or may have been. Who unmaps without an event leaves regions where nothing is.</summary>
    public bool IsMapped(ulong start, ulong end) => !HasMappings || (FirstAbove(start) is var index && index < _mappings.Count && _mappings[index].Start < end);

    /// <summary>The mappings that some byte of a range lies in, by address.</summary>
    public IEnumerable<VmaInfo> MappingsWithin(ulong start, ulong end)
    {
        for (int index = FirstAbove(start); index < _mappings.Count && _mappings[index].Start < end; index++)
        {
            yield return _mappings[index];
        }
    }

    public void Dispose() => _pagemap?.Dispose();

    // Index of the first mapping that ends above the address.
    private int FirstAbove(ulong address)
    {
        int low = 0;
        int high = _mappings.Count;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (_mappings[middle].End <= address)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }
}
