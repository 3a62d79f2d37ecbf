using UffdManager.Engine.Loops;
using UffdManager.Engine.Sessions;

namespace UffdManager.Engine.Tracking;

/// <summary>Registers every region for write protection, and arms it.</summary>
internal sealed class StartTrackingCommand(Session session, PresenceMap presence) : SlicedCommand
{
    /// <summary>Whose.</summary>
    public Session Session { get; } = session;

    /// <summary>Where its memory is.</summary>
    public PresenceMap Presence { get; } = presence;

    /// <summary>Whether every region is registered, so that arming goes on.</summary>
    public bool IsRegistered { get; set; }

    /// <summary>Everything below is done.</summary>
    public ulong Cursor { get; set; }

    /// <summary>Version of the regions that arming began with: should they move meanwhile it begins anew.</summary>
    public int Version { get; set; }

    /// <summary>How often it has begun anew.</summary>
    public int Restarts { get; set; }

    protected override WriteProtectStep Step(FaultLoop loop, out EngineResult? failure) => loop.StartTracking(this, out failure);
}
