using UffdManager.Engine.Regions;

namespace UffdManager.Engine.Loops;

/// <summary>
/// What lay where a remap arrived, kept until the event comes that says where it went. Owns references of its own.
/// </summary>
internal sealed class DisplacedRange(ulong start, ulong end, ulong aside = 0)
{
    public ulong Start { get; private set; } = start;

    public ulong End { get; set; } = end;

    /// <summary>
    /// Where the contents of <see cref="Start"/> are kept: regions and page states from this address on (<see cref="State.StateLayout.AsideBase"/>); 0 when
    /// what lay there had moved away already, and only its unmap is awaited.
    /// </summary>
    public ulong Aside { get; private set; } = aside;

    /// <summary>Where what is set aside ends.</summary>
    public ulong AsideEnd => Aside + (End - Start);

    /// <summary>Pieces of regions, at the addresses where they are kept.</summary>
    public List<Region> Regions { get; } = [];

    public bool Overlaps(ulong start, ulong end) => Start < end && start < End;

    /// <summary>Where a page that lay in this range is kept.</summary>
    public ulong AsideOf(ulong address) => address - Start + Aside;

    /// <summary>Leaves only what lies from an address on.</summary>
    public void TrimTo(ulong start)
    {
        Aside = Aside == 0 ? 0 : AsideOf(start);
        Start = start;
    }

    /// <summary>Forgets the contents, of which somebody else has disposed; the unmap is still awaited.</summary>
    public void Empty()
    {
        Regions.Clear();
        Aside = 0;
    }

    /// <summary>Drops the references and nothing else: on record it stays.</summary>
    public void Release() => Regions.ForEach(region => region.Release());
}
