namespace UffdManager.Client;

/// <summary>Who holds a range that this session claimed.</summary>
/// <param name="SessionId">Session of the manager; 0 for a userfaultfd outside it.</param>
/// <param name="Pid">Its process; 0 if not known.</param>
/// <param name="Tenant">Its tenant; empty for a holder outside.</param>
/// <param name="Start">First byte held.</param>
/// <param name="Length">Bytes held.</param>
public sealed record RangeHolder(long SessionId, int Pid, string Tenant, ulong Start, ulong Length);
