using UffdManager.Engine.Sessions;

namespace UffdManager.Engine;

/// <summary>A session's numbers at one moment.</summary>
/// <param name="Session">The session.</param>
/// <param name="UptimeNanoseconds">Since the hand-over.</param>
/// <param name="Regions">Regions registered.</param>
/// <param name="RegisteredBytes">Bytes registered.</param>
/// <param name="ResidentBytes">Bytes the manager installed or found present, less those given back.</param>
/// <param name="Faults">Faults read.</param>
/// <param name="CopiedBytes">Bytes installed with contents.</param>
/// <param name="ZeroedBytes">Bytes installed as zeros.</param>
/// <param name="Deferrals">Times a fault had to wait for another try.</param>
/// <param name="PoisonedPages">Pages poisoned.</param>
/// <param name="PagesInFlight">Base pages being fetched.</param>
public sealed record SessionStatus(
    Session Session,
    long UptimeNanoseconds,
    int Regions,
    ulong RegisteredBytes,
    long ResidentBytes,
    long Faults,
    long CopiedBytes,
    long ZeroedBytes,
    long Deferrals,
    long PoisonedPages,
    int PagesInFlight);
