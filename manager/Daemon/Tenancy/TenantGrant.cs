using UffdManager.Daemon.Configuration;
using UffdManager.Engine.Policies;

namespace UffdManager.Daemon.Tenancy;

/// <summary>
/// What a peer got when it was recognised: its tenant under the configuration of that moment. Immutable; a connection keeps the one it began
/// with, so a reload changes new connections only. What is counted belongs to the tenant's name and is shared by all its grants.
/// </summary>
public sealed class TenantGrant
{
    private readonly ConnectionQuota _connections;

    internal TenantGrant(Tenant tenant, TenantOptions options, ConnectionQuota connections, SourceQuota sources)
    {
        Tenant = tenant;
        Options = options;
        Sources = sources;
        _connections = connections;
        Limits = new DaemonLimits(options.Limits.Connections, options.Limits.Sources, options.Limits.SourceBytes, options.Limits.Maps, options.Limits.MapBytes);
    }

    /// <summary>The tenant as the engine accounts it.</summary>
    public Tenant Tenant { get; }

    /// <summary>The tenant's name in the configuration.</summary>
    public string Name => Tenant.Name;

    /// <summary>What the tenant may make the daemon hold, beside the engine's limits.</summary>
    public DaemonLimits Limits { get; }

    /// <summary>Connections that the tenant has open now.</summary>
    public int OpenConnections => _connections.Open;

    /// <summary>Whether <see cref="TryEnter"/> would find a place at this moment.</summary>
    public bool HasRoom => OpenConnections < Limits.Connections;

    /// <summary>The tenant's section of the configuration.</summary>
    internal TenantOptions Options { get; }

    internal SourceQuota Sources { get; }

    /// <summary>Takes a place for a connection. Dispose the result when the connection is closed.</summary>
    /// <returns>The place, or null if the tenant has as many connections as it may.</returns>
    public IDisposable? TryEnter() => _connections.TryEnter(Limits.Connections);

    /// <inheritdoc/>
    public override string ToString() => Name;
}
