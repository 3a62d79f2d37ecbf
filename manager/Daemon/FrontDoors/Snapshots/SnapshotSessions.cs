using UffdManager.Engine.Sessions;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>Which session came by which snapshot, over restarts. Any thread.</summary>
internal sealed class SnapshotSessions
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, List<(Session Session, long Peer)>> _byName = new(StringComparer.OrdinalIgnoreCase);
    private long _lastPeer;

    /// <summary>Highest number of a connection that a session came over: a later one must not have it.</summary>
    public long LastPeer
    {
        get
        {
            lock (_gate)
                return _lastPeer;
        }
    }

    /// <summary>Enters a session.</summary>
    /// <param name="snapshot">Name of the snapshot.</param>
    /// <param name="session">Of the VM.</param>
    /// <param name="peer">Number of the connection it came over; 0 if an earlier manager did not put that on record.</param>
    public void Add(string snapshot, Session session, long peer)
    {
        lock (_gate)
        {
            _lastPeer = Math.Max(_lastPeer, peer);
            if (!_byName.TryGetValue(snapshot, out List<(Session Session, long Peer)>? sessions))
                _byName.Add(snapshot, sessions = []);

            // Those that are over, whose number is bounded by what came since: every way in passes here.
            sessions.RemoveAll(IsOver);
            sessions.Add((session, peer));
        }
    }

    /// <summary>The sessions of a snapshot that are not over.</summary>
    public IReadOnlyList<Session> Of(string snapshot)
    {
        lock (_gate)
        {
            if (!_byName.TryGetValue(snapshot, out List<(Session Session, long Peer)>? sessions))
                return [];
            if (sessions.RemoveAll(IsOver) > 0 && sessions.Count == 0)
                _byName.Remove(snapshot);
            return [.. sessions.Select(entry => entry.Session)];
        }
    }

    /// <summary>The sessions that came over a connection, or of which that is not known.</summary>
    public IReadOnlyList<Session> FromPeer(long peer)
    {
        lock (_gate)
            return [.. _byName.Values.SelectMany(sessions => sessions).Where(entry => entry.Peer == peer || entry.Peer == 0).Select(entry => entry.Session)];
    }

    private static bool IsOver((Session Session, long Peer) entry) => entry.Session.State == SessionState.Ended;
}
