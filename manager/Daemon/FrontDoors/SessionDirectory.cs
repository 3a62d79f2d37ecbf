using System.Buffers.Binary;
using System.Security.Cryptography;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine.Sessions;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>The sessions that came through this front door, by resume token. Belongs to the front door's thread.</summary>
internal sealed class SessionDirectory
{
    private readonly Dictionary<ulong, SessionEntry> _byToken = [];
    private readonly Dictionary<Session, SessionEntry> _bySession = [];

    public int Count => _byToken.Count;

    /// <summary>A token that no session has, random: nobody can guess it.</summary>
    public ulong NewToken()
    {
        ulong token;
        do
            token = RandomToken();
        while (token == 0 || _byToken.ContainsKey(token));
        return token;
    }

    /// <param name="session">The session.</param>
    /// <param name="token">From <see cref="NewToken"/>.</param>
    /// <param name="tenant">Who is accounted.</param>
    /// <param name="defaultPolicy">Policy of requests that name none.</param>
    public SessionEntry Add(Session session, ulong token, TenantGrant tenant, PolicyGrant defaultPolicy)
    {
        var entry = new SessionEntry(session, token, tenant, defaultPolicy);
        _byToken.Add(token, entry);
        _bySession.Add(session, entry);
        return entry;
    }

    /// <summary>Enters a session of the manager before under the token that its client knows.</summary>
    /// <returns>Null when another session has that token: one of the two records is wrong.</returns>
    public SessionEntry? TryRestore(Session session, ulong token, TenantGrant tenant, PolicyGrant defaultPolicy) =>
        _byToken.ContainsKey(token) || _bySession.ContainsKey(session) ? null : Add(session, token, tenant, defaultPolicy);

    /// <summary>The living session of a token, if the process is the one that it was given to.</summary>
    public SessionEntry? Find(ulong token, PeerProcess process) =>
        _byToken.TryGetValue(token, out SessionEntry? entry)
        && entry.Session.State is SessionState.Adopting or SessionState.Serving
        && entry.Session.Pid == process.Pid
        && entry.Session.ProcessStartTime == process.StartTime
            ? entry
            : null;

    public SessionEntry? Find(Session session) => _bySession.GetValueOrDefault(session);

    /// <summary>Forgets a session and gives up its objects.</summary>
    public void Remove(SessionEntry entry)
    {
        if (!_byToken.Remove(entry.ResumeToken))
            return;
        _bySession.Remove(entry.Session);
        foreach (ImageLease lease in entry.Images.Values)
            lease.Dispose();
        entry.Images.Clear();
    }

    /// <summary>Sessions that are over, whether or not the event that says so has arrived (events are dropped under pressure).</summary>
    public List<SessionEntry> Ended() => [.. _byToken.Values.Where(entry => entry.Session.State == SessionState.Ended)];

    public void Clear()
    {
        foreach (SessionEntry entry in _byToken.Values.ToArray())
            Remove(entry);
    }

    private static ulong RandomToken()
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        RandomNumberGenerator.Fill(bytes);
        return BinaryPrimitives.ReadUInt64LittleEndian(bytes);
    }
}
