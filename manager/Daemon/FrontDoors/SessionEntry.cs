using UffdManager.Daemon.Supervision;
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

    /// <summary>What the next manager has to know of it.</summary>
    /// <param name="newImage">An object that it is about to map; 0 for none.</param>
    public OwnerRecord ToRecord(long newImage = 0) => new()
    {
        ResumeToken = ResumeToken,
        SessionId = Session.ParentId == 0 ? 0 : Session.Id,
        SourceOffset = DefaultPolicy.SourceOffset,
        RemoveMeansSource = DefaultPolicy.RemoveMeansSource,
        SourceIdentity = DefaultPolicy.SourceIdentity,
        Images = [.. Images.Keys.Append(newImage).Where(image => image != 0).Distinct().Order()],
    };
}
