using UffdManager.Daemon.Tenancy;
using UffdManager.Engine.Sessions;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>What the front door keeps for a session, beyond the life of a connection.</summary>
internal sealed class SessionEntry(Session session, ulong resumeToken, TenantGrant tenant, PolicyGrant defaultPolicy)
{
    public Session Session { get; } = session;

    /// <summary>Random; whoever shows it, from the same process, gets the session back.</summary>
    public ulong ResumeToken { get; } = resumeToken;

    public TenantGrant Tenant { get; } = tenant;

    /// <summary>Policy of requests that name none.</summary>
    public PolicyGrant DefaultPolicy { get; } = defaultPolicy;

    /// <summary>The connection that speaks for the session now; null while there is none.</summary>
    public Connection? Connection { get; set; }

    /// <summary>Objects that the session has mapped, by id; only these may be named in REGISTER.</summary>
    public Dictionary<long, ImageLease> Images { get; } = [];
}
