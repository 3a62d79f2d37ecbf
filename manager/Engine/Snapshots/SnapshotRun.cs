using UffdManager.Engine.Sources;

namespace UffdManager.Engine.Snapshots;

/// <summary>Neighbouring pages of one region whose contents are to be had in the same way.</summary>
/// <param name="Region">Whose.</param>
/// <param name="Start">First byte.</param>
/// <param name="End">First byte after.</param>
/// <param name="Kind">How.</param>
/// <param name="Source">With <see cref="SnapshotRunKind.Source"/>: where from, with a reference that is the run's.</param>
/// <param name="SourceOffset">Byte offset there of the first byte.</param>
internal readonly record struct SnapshotRun(FrozenRegion Region, ulong Start, ulong End, SnapshotRunKind Kind, PageSource? Source, long SourceOffset);
