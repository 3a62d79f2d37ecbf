namespace UffdManager.Engine.State;

/// <summary>What was read from a ledger that another manager left behind.</summary>
/// <param name="Record">The session itself.</param>
/// <param name="Documents">By ordinal.</param>
/// <param name="Regions">Places of the records that count.</param>
internal sealed record RecoveredLedger(
    SessionRecord Record, IReadOnlyList<(DocumentKind Kind, byte[] Bytes)> Documents, IReadOnlyList<(nuint Place, RegionRecordState State)> Regions);
