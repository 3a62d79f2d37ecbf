namespace UffdManager.Engine;

/// <summary>Who holds a range that somebody else claims.</summary>
/// <param name="SessionId">Session of this manager, or 0 for a holder outside it.</param>
/// <param name="Pid">Process, 0 if not known.</param>
/// <param name="Tenant">Tenant of the session, empty for a holder outside.</param>
/// <param name="Start">First byte of the held region that overlaps; of the claim, for a holder outside.</param>
/// <param name="Length">Bytes of that region.</param>
public sealed record RangeHolder(long SessionId, int Pid, string Tenant, ulong Start, ulong Length);
