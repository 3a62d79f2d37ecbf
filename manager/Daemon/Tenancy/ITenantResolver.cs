namespace UffdManager.Daemon.Tenancy;

/// <summary>Tells which tenant a peer belongs to. May be called from any thread; does no I/O; follows configuration reloads.</summary>
public interface ITenantResolver
{
    /// <summary>Finds the tenant: by cgroup, else by uid, else by gid, else the default tenant.</summary>
    /// <param name="peer">The peer as the kernel tells it.</param>
    /// <returns>The tenant, or the reason why there is none.</returns>
    TenantDecision Resolve(PeerIdentity peer);
}
