using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Tenancy;
using UffdManager.Daemon.Tests.Configuration;
using Xunit;

namespace UffdManager.Daemon.Tests.Tenancy;

public sealed class TenantCatalogTests
{
    private const string Three = """
        {
          "policies": { "zero": {} },
          "tenants": {
            "slice": { "match": { "cgroups": ["/a.slice"] }, "defaultPolicy": "zero" },
            "service": { "match": { "cgroups": ["/a.slice/b.service/"] }, "defaultPolicy": "zero" },
            "user": { "match": { "uids": [1000] }, "defaultPolicy": "zero" },
            "group": { "match": { "gids": [50] }, "defaultPolicy": "zero" }
          }
        }
        """;

    [Theory]
    [InlineData(1000u, 50u, "/a.slice/b.service/c", "service")]
    [InlineData(1000u, 50u, "/a.slice/b.service", "service")]
    [InlineData(1000u, 50u, "/a.slice/other", "slice")]
    [InlineData(1000u, 50u, "/a.slice", "slice")]
    [InlineData(1000u, 50u, "/a.slicer", "user")]
    [InlineData(1000u, 50u, "/", "user")]
    [InlineData(1000u, 50u, null, "user")]
    [InlineData(1001u, 50u, "/x", "group")]
    public void Most_specific_match_wins(uint uid, uint gid, string? cgroup, string tenant) =>
        Assert.Equal(tenant, new TenantCatalog(Layers.LoadValid(Three)).Resolve(new PeerIdentity(7, uid, gid, cgroup)).Grant?.Name);

    [Fact]
    public void Unknown_peer_is_refused_with_what_is_known_of_it()
    {
        TenantDecision decision = new TenantCatalog(Layers.LoadValid(Three)).Resolve(new PeerIdentity(7, 2, 3, "/x"));
        Assert.False(decision.IsGranted);
        Assert.Equal("no tenant matches pid 7, uid 2, gid 3, cgroup /x, and there is no default tenant", decision.Refusal);
    }

    [Fact]
    public void Unknown_peer_is_the_default_tenants_if_there_is_one() =>
        Assert.Equal("everybody", new TenantCatalog(Layers.LoadValid(Layers.Minimal)).Resolve(new PeerIdentity(7, 2, 3, "/x")).Grant?.Name);

    [Fact]
    public void Limits_of_the_configuration_reach_the_engine_and_the_grant()
    {
        ManagerConfiguration configuration = Layers.LoadValid(Layers.Minimal, """
            { "tenants": { "everybody": { "weight": 3, "limits": {
              "sessions": 1, "regions": 2, "registeredBytes": 4096, "pagesInFlight": 4, "faultsPerSecond": 5, "copiedBytesPerSecond": 6,
              "fetchQueueDepth": 7, "connections": 8, "sources": 9, "sourceBytes": 8192, "pageTableBytes": 65537, "maps": 10, "mapBytes": 4097 } } } }
            """);
        TenantGrant grant = new TenantCatalog(configuration).Resolve(new PeerIdentity(1, 1, 1, null)).Grant!;
        var limits = grant.Tenant.Limits;
        Assert.Equal(3, grant.Tenant.Weight);
        Assert.Equal((1, 2, 4096L, 4), (limits.Sessions, limits.Regions, limits.RegisteredBytes, limits.PagesInFlight));
        Assert.Equal((5L, 6L, 7), (limits.FaultsPerSecond, limits.CopiedBytesPerSecond, limits.FetchQueueDepth));
        Assert.Equal(65537, limits.PageTableBytes);
        Assert.Equal(new DaemonLimits(8, 9, 8192, 10, 4097), grant.Limits);
    }

    [Fact]
    public void Reload_keeps_the_accounts_of_a_tenant_and_changes_its_limits_for_newcomers()
    {
        PeerIdentity peer = new(1, 1, 1, null);
        TenantCatalog catalog = new(Layers.LoadValid(Layers.Minimal, Connections(2)));
        TenantGrant before = catalog.Resolve(peer).Grant!;
        IDisposable first = before.TryEnter()!;

        catalog.Apply(Layers.LoadValid(Layers.Minimal, Connections(1)));
        TenantGrant after = catalog.Resolve(peer).Grant!;

        Assert.Same(before.Tenant.Usage, after.Tenant.Usage);
        Assert.Null(after.TryEnter());
        using (IDisposable? second = before.TryEnter())
            Assert.NotNull(second);
        first.Dispose();
        Assert.NotNull(after.TryEnter());
    }

    [Fact]
    public void Place_of_a_connection_is_given_back_once()
    {
        ConnectionQuota quota = new();
        IDisposable place = quota.TryEnter(1)!;
        Assert.Null(quota.TryEnter(1));
        place.Dispose();
        place.Dispose();
        Assert.Equal(0, quota.Open);
    }

    private static string Connections(int limit) => $$"""{ "tenants": { "everybody": { "limits": { "connections": {{limit}} } } } }""";
}
