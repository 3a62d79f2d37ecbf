namespace UffdManager.Engine.State;

/// <summary>A session's state memory, read and proven.</summary>
/// <param name="Ledger">Goes on being written.</param>
/// <param name="Content">What it said.</param>
/// <param name="TableBytes">What its page table takes.</param>
/// <param name="PresentBytes">What of its client's memory is there.</param>
internal sealed record RecoveredSession(SessionLedger Ledger, RecoveredLedger Content, long TableBytes, long PresentBytes);
