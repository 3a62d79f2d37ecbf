using System.Runtime.CompilerServices;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Tenancy;
using UffdManager.Daemon.Tests.Configuration;
using UffdManager.Daemon.Tests.Images;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Tenancy;

public sealed class PolicyCatalogTests : IDisposable
{
    private readonly TempDirectory _directory = new();
    private Policy? _held;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Policy_of_the_configuration_is_the_engines_policy()
    {
        ManagerConfiguration configuration = Configuration("""
            "source": { "kind": "client" }, "faultAroundBytes": "64KiB", "onUnavailable": "wait", "deadline": "2s", "retryBackoff": "3ms",
            "busyPoll": "40us", "prefetch": { "mode": "replay", "maxBytes": "1MiB", "maxTime": "2s", "maxPagesInFlight": 3, "recordTime": "4s" }, "removeMeans": "source"
            """);
        using PolicyCatalog catalog = new(configuration, Registry.Empty());
        PolicyGrant grant = Find(catalog, configuration, "p");
        Assert.Equal(
            new Policy
            {
                Name = "p",
                FaultAroundBytes = 65536,
                OnUnavailable = Verdict.Wait,
                Deadline = TimeSpan.FromSeconds(2),
                RetryBackoff = TimeSpan.FromMilliseconds(3),
                BusyPoll = TimeSpan.FromMicroseconds(40),
                Prefetch = new PrefetchPolicy
                {
                    Mode = PrefetchMode.Replay,
                    MaximumBytes = 1 << 20,
                    MaximumTime = TimeSpan.FromSeconds(2),
                    MaximumPagesInFlight = 3,
                    RecordTime = TimeSpan.FromSeconds(4),
                },
            },
            grant.Policy);
        Assert.True(grant.RemoveMeansSource);
    }

    [Fact]
    public void Empty_name_is_the_tenants_default_policy()
    {
        ManagerConfiguration configuration = Configuration("");
        using PolicyCatalog catalog = new(configuration, Registry.Empty());
        Assert.Equal("zero", Find(catalog, configuration, "").Policy.Name);
        Assert.Same(ZeroSource.Instance, Find(catalog, configuration, "ZERO").Policy.Source);
    }

    [Fact]
    public void Policy_is_found_only_by_tenants_that_may_use_it()
    {
        ManagerConfiguration configuration = Layers.LoadValid(Layers.Minimal, """
            { "policies": { "secret": {} }, "tenants": { "everybody": { "policies": [] } } }
            """);
        using PolicyCatalog catalog = new(configuration, Registry.Empty());
        TenantGrant tenant = Grant(configuration);
        Assert.False(catalog.Find(tenant, "secret").IsGranted);
        Assert.Equal("policy \"secret\" is not one that tenant everybody may use", catalog.Find(tenant, "secret").Refusal);
    }

    [Fact]
    public void Reload_keeps_an_unchanged_policy_and_counts_the_versions_of_a_changed_one()
    {
        string image = _directory.WriteFile("image", new byte[4096]);
        ManagerConfiguration first = Configuration($"\"source\": {{ \"kind\": \"file\", \"path\": \"{image}\" }}");
        using PolicyCatalog catalog = new(first, Registry.Empty());
        Policy before = Find(catalog, first, "p").Policy;

        Apply(catalog, first);
        Assert.Same(before, Find(catalog, first, "p").Policy);

        ManagerConfiguration second = Configuration($"\"source\": {{ \"kind\": \"file\", \"path\": \"{image}\" }}, \"deadline\": \"1s\"");
        Apply(catalog, second);
        Policy after = Find(catalog, second, "p").Policy;
        Assert.Equal((1, 2), (before.Version, after.Version));
        Assert.Equal(TimeSpan.FromSeconds(1), after.Deadline);
    }

    [Fact]
    public void Reload_opens_an_image_again_when_another_file_has_taken_its_place()
    {
        string image = _directory.WriteFile("image", new byte[4096]);
        ManagerConfiguration configuration = Configuration($"\"source\": {{ \"kind\": \"file\", \"path\": \"{image}\" }}");
        using PolicyCatalog catalog = new(configuration, Registry.Empty());
        Policy before = Find(catalog, configuration, "p").Policy;

        File.Move(_directory.WriteFile("new", new byte[8192]), image, overwrite: true);
        Apply(catalog, configuration);

        Policy after = Find(catalog, configuration, "p").Policy;
        Assert.NotSame(before.Source, after.Source);
        Assert.Equal((4096L, 8192L), (before.Source!.Length, after.Source!.Length));
    }

    [Fact]
    public void Retired_image_stays_open_exactly_as_long_as_somebody_can_reach_its_policy()
    {
        using PolicyCatalog catalog = new(Layers.LoadValid(Layers.Minimal), Registry.Empty());
        StrongBox<bool> isClosed = new();
        RetireImage(catalog, isClosed);

        Collect(catalog);
        Assert.False(isClosed.Value, "somebody can still register with the policy");

        _held = null;
        Eventually.True(() =>
        {
            Collect(catalog);
            return isClosed.Value;
        });
    }

    [Fact]
    public void Images_that_cannot_be_opened_are_all_reported_and_nothing_stays_open()
    {
        string good = _directory.WriteFile("good", new byte[4096]);
        ManagerConfiguration configuration = Layers.LoadValid(Layers.Minimal, $$"""
            { "policies": {
                "a": { "source": { "kind": "file", "path": "{{good}}" } },
                "b": { "source": { "kind": "file", "path": "/nowhere" } },
                "c": { "source": { "kind": "file", "path": "{{_directory.Path}}" } } } }
            """);
        DescriptorWatch watch = DescriptorWatch.Start();
        ConfigurationException exception = Assert.Throws<ConfigurationException>(() => new PolicyCatalog(configuration, Registry.Empty()).Dispose());
        Assert.Equal(["policies.b.source.path", "policies.c.source.path"], exception.Errors.Select(error => error.Key));
        Eventually.True(() => !watch.Added().Any(link => link.Contains(good, StringComparison.Ordinal)), "the good image's end");
    }

    // Not inlined, so that no local of the test keeps the policy alive.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void RetireImage(PolicyCatalog catalog, StrongBox<bool> isClosed)
    {
        string image = _directory.WriteFile("image", new byte[4096]);
        ManagerConfiguration configuration = Configuration($"\"source\": {{ \"kind\": \"file\", \"path\": \"{image}\" }}");
        Apply(catalog, configuration);
        _held = Find(catalog, configuration, "p").Policy;
        _held.Source!.Released = () => isClosed.Value = true;
        Apply(catalog, Layers.LoadValid(Layers.Minimal));
    }

    private static void Collect(PolicyCatalog catalog)
    {
        GC.Collect();
        catalog.CloseRetired(new HashSet<Policy>());
    }

    private static ManagerConfiguration Configuration(string policy) => Layers.LoadValid(Layers.Minimal, $$"""
        { "policies": { "p": { {{policy}} } }, "tenants": { "everybody": { "policies": ["*"] } } }
        """);

    private static TenantGrant Grant(ManagerConfiguration configuration) =>
        new TenantCatalog(configuration).Resolve(new PeerIdentity(1, 1, 1, null)).Grant!;

    private static PolicyGrant Find(PolicyCatalog catalog, ManagerConfiguration configuration, string name) =>
        catalog.Find(Grant(configuration), name).Grant!;

    private static void Apply(PolicyCatalog catalog, ManagerConfiguration configuration)
    {
        List<ConfigurationError> errors = [];
        catalog.Commit(catalog.Prepare(configuration, errors));
        Assert.Empty(errors);
    }
}
