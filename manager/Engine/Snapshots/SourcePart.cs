using UffdManager.Engine.Regions;
using UffdManager.Engine.Sources;

namespace UffdManager.Engine.Snapshots;

/// <summary>A part of a source, named and not used: the source may be closed by the time.</summary>
/// <param name="Source">To be compared and nothing else.</param>
/// <param name="SourceLength">Bytes that it had; <see cref="long.MaxValue"/> for one without an end.</param>
/// <param name="Offset">First byte.</param>
internal readonly record struct SourcePart(object Source, long SourceLength, long Offset)
{
    /// <summary>What a region shows.</summary>
    public static SourcePart Of(Region region)
    {
        PageSource source = region.Image?.Source ?? region.Source;
        return new SourcePart(source, source.Length, region.Image?.SourceOffsetOf(region.SourceOffset) ?? region.SourceOffset);
    }
}
