namespace UffdManager.Engine.Snapshots;

/// <summary>How a snapshot ended.</summary>
/// <param name="Error">Why the image is not to be used; null on success.</param>
/// <param name="TakenAt">The instant whose memory it holds, monotonic nanoseconds; 0 when it did not come to that.</param>
/// <param name="Regions">What is where in the image, by address; empty when it did not come to that.</param>
/// <param name="Layout">By what they lie there.</param>
public sealed record SnapshotReport(EngineError? Error, long TakenAt, IReadOnlyList<SnapshotRegion> Regions, SnapshotLayout Layout);
