using UffdManager.Daemon.Configuration;
using UffdManager.Engine.Policies;

namespace UffdManager.Daemon.Tenancy;

/// <summary>
/// Matches peers to tenants. The most specific match wins: the longest cgroup, then the uid, then the gid, then the default tenant.
/// A reload swaps the whole table; what tenants hold is counted on by name.
/// </summary>
internal sealed class TenantCatalog : ITenantResolver
{
    // Names come from the configuration alone, this one's or an earlier one's, so this cannot be made to grow by clients.
    private readonly Dictionary<string, Accounts> _accounts = new(StringComparer.OrdinalIgnoreCase);
    private readonly Dictionary<string, TenantGrant> _retired = new(StringComparer.OrdinalIgnoreCase);
    private readonly Lock _reloading = new();
    private Table _table;

    public TenantCatalog(ManagerConfiguration configuration) => _table = Build(configuration);

    public TenantDecision Resolve(PeerIdentity peer)
    {
        Table table = Volatile.Read(ref _table);
        TenantGrant? grant = table.ByCgroup(peer.Cgroup)
            ?? table.Uids.GetValueOrDefault(peer.Uid)
            ?? table.Gids.GetValueOrDefault(peer.Gid)
            ?? table.Default;
        return grant is not null
            ? TenantDecision.Granted(grant)
            : TenantDecision.Refused($"no tenant matches {peer}, and there is no default tenant");
    }

    /// <summary>The tenants of the configuration, in no order.</summary>
    public IReadOnlyList<TenantGrant> All => Volatile.Read(ref _table).All;

    /// <summary>Recognises new peers by another configuration from now on.</summary>
    public void Apply(ManagerConfiguration configuration)
    {
        lock (_reloading)
            Volatile.Write(ref _table, Build(configuration));
    }

    /// <summary>The tenant of restored sessions.</summary>
    /// <param name="name">What it was called when they were made.</param>
    /// <param name="weight">Its weight then.</param>
    /// <param name="recorded">Its limits then.</param>
    /// <param name="isRetired">Whether the configuration does not know it any more: it goes on as it was, and can get nothing new of the daemon.</param>
    public Tenant Restore(string name, int weight, TenantLimits recorded, out bool isRetired)
    {
        lock (_reloading)
        {
            isRetired = !_table.Names.TryGetValue(name, out TenantGrant? grant);
            if (grant is not null)
                return grant.Tenant;
            if (!_retired.TryGetValue(name, out grant))
            {
                if (!_accounts.TryGetValue(name, out Accounts? accounts))
                    _accounts.Add(name, accounts = new Accounts(new Tenant(name, weight, recorded)));
                accounts.Tenant = accounts.Tenant.With(weight, recorded);
                _retired.Add(name, grant = new TenantGrant(accounts.Tenant, Retired(weight), accounts.Connections, accounts.Sources));
            }

            return grant.Tenant;
        }
    }

    /// <summary>A tenant of the configuration by its name; null when there is none.</summary>
    public TenantGrant? Find(string name) => Volatile.Read(ref _table).Names.GetValueOrDefault(name);

    /// <summary>What a tenant may have, by the configuration or as one that <see cref="Restore"/> found retired.</summary>
    /// <exception cref="KeyNotFoundException">Neither.</exception>
    public TenantGrant GrantOf(string name)
    {
        lock (_reloading)
            return _table.Names.TryGetValue(name, out TenantGrant? grant) ? grant : _retired[name];
    }

    /// <summary>What a tenant has open, whether or not anybody knows the tenant any more.</summary>
    public SourceQuota SourcesOf(string name)
    {
        lock (_reloading)
        {
            if (!_accounts.TryGetValue(name, out Accounts? accounts))
                _accounts.Add(name, accounts = new Accounts(new Tenant(name, 1, new TenantLimits())));
            return accounts.Sources;
        }
    }

    private Table Build(ManagerConfiguration configuration)
    {
        Table table = new();
        foreach ((string name, TenantOptions options) in configuration.Tenants)
        {
            if (!_accounts.TryGetValue(name, out Accounts? accounts))
                _accounts.Add(name, accounts = new Accounts(new Tenant(name, options.Weight, EngineLimits(options.Limits))));
            accounts.Tenant = accounts.Tenant.With(options.Weight, EngineLimits(options.Limits));

            TenantGrant grant = new(accounts.Tenant, options, accounts.Connections, accounts.Sources);
            table.All.Add(grant);
            table.Names.Add(name, grant);
            foreach (string cgroup in options.Match.Cgroups)
                table.Cgroups.Add((cgroup.TrimEnd('/'), grant));
            foreach (uint uid in options.Match.Uids)
                table.Uids.Add(uid, grant);
            foreach (uint gid in options.Match.Gids)
                table.Gids.Add(gid, grant);
            if (options.Default)
                table.Default = grant;
        }

        table.Cgroups.Sort((a, b) => b.Path.Length.CompareTo(a.Path.Length));
        return table;
    }

    private static TenantLimits EngineLimits(TenantLimitOptions limits) => new()
    {
        Sessions = limits.Sessions,
        Regions = limits.Regions,
        RegisteredBytes = limits.RegisteredBytes,
        PageTableBytes = limits.PageTableBytes,
        PagesInFlight = limits.PagesInFlight,
        FetchQueueDepth = limits.FetchQueueDepth,
        FaultsPerSecond = limits.FaultsPerSecond,
        CopiedBytesPerSecond = limits.CopiedBytesPerSecond,
        CacheBytes = limits.CacheBytes,
    };

    private static TenantOptions Retired(int weight) => new()
    {
        Match = new TenantMatchOptions { Uids = [], Gids = [], Cgroups = [] },
        Default = false,
        DefaultPolicy = "",
        Policies = [],
        SourceDirectories = [],
        Images = [],
        SourceDescriptors = false,
        Weight = weight,

        // What only the daemon counts; the engine's limits are the tenant's own.
        Limits = new TenantLimitOptions
        {
            Sessions = 0,
            Regions = 0,
            RegisteredBytes = 0,
            PageTableBytes = 0,
            PagesInFlight = 0,
            FaultsPerSecond = 0,
            CopiedBytesPerSecond = 0,
            FetchQueueDepth = 0,
            Connections = 0,
            Sources = 0,
            SourceBytes = 0,
            Maps = 0,
            MapBytes = 0,
            CacheBytes = 0,
        },
    };

    private sealed class Accounts(Tenant tenant)
    {
        public Tenant Tenant { get; set; } = tenant;

        public ConnectionQuota Connections { get; } = new();

        public SourceQuota Sources { get; } = new();
    }

    private sealed class Table
    {
        public List<TenantGrant> All { get; } = [];

        public Dictionary<string, TenantGrant> Names { get; } = new(StringComparer.OrdinalIgnoreCase);

        /// <summary>Longest first.</summary>
        public List<(string Path, TenantGrant Grant)> Cgroups { get; } = [];

        public Dictionary<uint, TenantGrant> Uids { get; } = [];

        public Dictionary<uint, TenantGrant> Gids { get; } = [];

        public TenantGrant? Default { get; set; }

        public TenantGrant? ByCgroup(string? cgroup)
        {
            if (cgroup is null)
                return null;

            foreach ((string path, TenantGrant grant) in Cgroups)
            {
                // "/a" is above "/a/b", not above "/ab".
                if (cgroup.StartsWith(path, StringComparison.Ordinal) && (cgroup.Length == path.Length || cgroup[path.Length] == '/'))
                    return grant;
            }

            return null;
        }
    }
}
