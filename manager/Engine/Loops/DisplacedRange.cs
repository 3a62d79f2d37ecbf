using UffdManager.Engine.Regions;

namespace UffdManager.Engine.Loops;

/// <summary>
/// What lay where a remap arrived, kept until the event comes that says where it went. Owns references of its own.
/// </summary>
internal sealed class DisplacedRange(ulong start, ulong end)
{
    public ulong Start { get; set; } = start;

    public ulong End { get; set; } = end;

    /// <summary>Pieces of regions; empty when what lay there had moved away already, and only its unmap is awaited.</summary>
    public List<Region> Regions { get; } = [];

    /// <summary>States of their pages, absent ones left out.</summary>
    public List<(ulong Start, ulong End, PageState State)> Pages { get; } = [];

    public bool Overlaps(ulong start, ulong end) => Start < end && start < End;

    /// <summary>Drops the contents; the unmap is still awaited.</summary>
    public void Release()
    {
        Regions.ForEach(region => region.Release());
        Regions.Clear();
        Pages.Clear();
    }
}
