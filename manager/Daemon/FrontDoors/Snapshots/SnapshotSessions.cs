using UffdManager.Engine.Sessions;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>Which session came by which snapshot, over restarts. Any thread.</summary>
internal sealed class SnapshotSessions
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, List<Session>> _byName = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Enters a session.</summary>
    public void Add(string snapshot, Session session)
    {
        lock (_gate)
        {
            if (!_byName.TryGetValue(snapshot, out List<Session>? sessions))
                _byName.Add(snapshot, sessions = []);

            // Those that are over, whose number is bounded by what came since: every way in passes here.
            sessions.RemoveAll(IsOver);
            sessions.Add(session);
        }
    }

    /// <summary>The sessions of a snapshot that are not over.</summary>
    public IReadOnlyList<Session> Of(string snapshot)
    {
        lock (_gate)
        {
            if (!_byName.TryGetValue(snapshot, out List<Session>? sessions))
                return [];
            if (sessions.RemoveAll(IsOver) > 0 && sessions.Count == 0)
                _byName.Remove(snapshot);
            return [.. sessions];
        }
    }

    private static bool IsOver(Session session) => session.State == SessionState.Ended;
}
