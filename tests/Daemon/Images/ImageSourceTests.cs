using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Images;
using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Tenancy;
using UffdManager.Daemon.Tests.Configuration;
using UffdManager.Engine.Images;
using UffdManager.Engine.Sources;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Images;

/// <summary>Images as what clients name and as what policies take contents from.</summary>
public sealed class ImageSourceTests : IDisposable
{
    private static readonly DateTime s_written = DateTime.UnixEpoch.AddDays(1);

    private readonly TempDirectory _directory = new();
    private readonly ImageRegistry _registry;

    public ImageSourceTests()
    {
        _registry = Registry.In(_directory.Combine("images"));
        foreach (string name in new[] { "clean", "other" })
        {
            string file = _directory.WriteFile(name + ".mem", new byte[8192]);
            File.SetLastWriteTimeUtc(file, s_written);
            _registry.Add(new ImageAddition(name, file, Base: null, PageBytes: null, Direct: false, MayUseAnyFile: true));
        }
    }

    public void Dispose()
    {
        _registry.Dispose();
        _directory.Dispose();
    }

    [Theory]
    [InlineData("image:clean")]
    [InlineData("clean")]
    public void Client_gets_an_image_that_its_tenant_may_use(string path)
    {
        TenantGrant tenant = Tenant(images: "clean");
        using SourceLease lease = new SourceCatalog(_registry).OpenPath(tenant, path).Lease!;
        using OpenedImage opened = _registry.Open("clean");
        Assert.Same(opened.Source, lease.Source);
        Assert.Equal(opened.Identity, lease.Identity);

        // The operator has it open, not the tenant.
        Assert.Equal(0, tenant.Sources.Open);
    }

    [Theory]
    [InlineData("image:other", Errno.EACCES, "tenants.everybody.images")]
    [InlineData("other", Errno.EACCES, "has no source directories")]
    [InlineData("image:nothing", Errno.EACCES, "tenants.everybody.images")]
    public void Client_gets_no_other_image(string path, Errno errno, string text)
    {
        SourceDecision decision = new SourceCatalog(_registry).OpenPath(Tenant(images: "clean"), path);
        Assert.Equal(errno, decision.Errno);
        Assert.Contains(text, decision.Refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void Star_lets_a_tenant_use_every_image_there_is()
    {
        SourceCatalog catalog = new(_registry);
        TenantGrant tenant = Tenant(images: "*");
        using SourceLease? lease = catalog.OpenPath(tenant, "image:other").Lease;
        Assert.NotNull(lease);
        Assert.Equal(Errno.ENOENT, catalog.OpenPath(tenant, "image:nothing").Errno);
        Assert.Equal(Errno.EACCES, catalog.OpenPath(tenant, "nothing").Errno);
    }

    [Fact]
    public void File_of_a_source_directory_comes_before_an_image_of_its_name()
    {
        Directory.CreateDirectory(_directory.Combine("srv"));
        File.WriteAllBytes(_directory.Combine("srv", "clean"), new byte[4096]);
        SourceCatalog catalog = new(_registry);
        TenantGrant tenant = Tenant(images: "*", directory: _directory.Combine("srv"));
        using SourceLease file = catalog.OpenPath(tenant, "clean").Lease!;
        using SourceLease image = catalog.OpenPath(tenant, "image:clean").Lease!;
        using SourceLease other = catalog.OpenPath(tenant, "other").Lease!;
        using SourceLease named = catalog.OpenNamed(tenant, "clean").Lease!;
        Assert.IsType<FileSource>(file.Source);

        // To the operator it is the other way round: the tenant may be able to write there.
        Assert.Same(image.Source, named.Source);
        using SourceLease plain = catalog.OpenNamed(Tenant(images: "other", directory: _directory.Combine("srv")), "clean").Lease!;
        Assert.NotSame(image.Source, plain.Source);
        Assert.Equal(_directory.Combine("srv", "clean"), plain.Source.Location);
        Assert.IsType<LayeredSource>(image.Source);
        Assert.IsType<LayeredSource>(other.Source);
    }

    [Fact]
    public void Policy_takes_its_contents_from_an_image()
    {
        using PolicyCatalog catalog = new(Policy("clean"), _registry);
        PolicyGrant grant = catalog.All.Single(policy => policy.Grant.Policy.Name == "p").Grant;
        using OpenedImage opened = _registry.Open("clean");
        Assert.Same(opened.Source, grant.Policy.Source);
        Assert.Equal((opened.Identity, 4096L), (grant.SourceIdentity, grant.SourceOffset));
    }

    [Fact]
    public void Policy_of_an_image_that_is_not_there_is_an_error_of_the_configuration()
    {
        ConfigurationException refused = Assert.Throws<ConfigurationException>(() => new PolicyCatalog(Policy("nothing"), _registry).Dispose());
        Assert.Contains("policies.p.source.image: \"nothing\" cannot be used: there is no image \"nothing\"", Assert.Single(refused.Errors).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Touched_image_does_not_keep_the_daemon_from_starting_and_is_used_as_soon_as_it_is_mended()
    {
        string file = _directory.Combine("clean.mem");
        File.SetLastWriteTimeUtc(file, DateTime.UnixEpoch);
        using PolicyCatalog catalog = PolicyCatalog.AtStart(Policy("clean"), _registry);
        Assert.Contains("policy p takes its contents from image clean, which cannot be used: " + file, Assert.Single(catalog.Missing), StringComparison.Ordinal);
        PageSource lost = Find(catalog).Policy.Source!;
        Assert.NotEqual("", Find(catalog).SourceIdentity);
        Assert.Equal(SourceAnswer.Slow, lost.TryGet(0, 4096, 0, out _));
        Assert.Equal(Errno.ENXIO, lost.Fetch(0, 4096, 0, out _));

        // Whoever reloads or checks is told, and nothing is taken.
        List<ConfigurationError> errors = [];
        catalog.Prepare(Policy("clean"), errors).Discard();
        Assert.Contains("\"clean\" cannot be used", Assert.Single(errors).ToString(), StringComparison.Ordinal);
        _registry.Remove("clean");
        _registry.Add(new ImageAddition("clean", file, Base: null, PageBytes: null, Direct: false, MayUseAnyFile: true));
        errors.Clear();
        catalog.Commit(catalog.Prepare(Policy("clean"), errors));
        Assert.Empty(errors);
        Assert.IsType<LayeredSource>(Find(catalog).Policy.Source);
    }

    [Fact]
    public void Other_errors_end_the_start_as_ever()
    {
        ManagerConfiguration configuration = Layers.LoadValid(Layers.Minimal, """{ "policies": { "p": { "source": { "kind": "file", "path": "/nonexistent" } } } }""");
        Assert.Throws<ConfigurationException>(() => PolicyCatalog.AtStart(configuration, _registry).Dispose());
    }

    [Fact]
    public void Reload_replaces_the_source_of_an_image_that_was_touched_and_put_back()
    {
        string file = _directory.Combine("clean.mem");
        using PolicyCatalog catalog = new(Policy("clean"), _registry);
        PolicyGrant before = Find(catalog);
        File.SetLastWriteTimeUtc(file, DateTime.UnixEpoch);
        Assert.Throws<ImageException>(() => _registry.Open("clean"));
        File.SetLastWriteTimeUtc(file, s_written);
        List<ConfigurationError> errors = [];
        catalog.Commit(catalog.Prepare(Policy("clean"), errors));
        Assert.Empty(errors);
        Assert.NotNull(((LayeredSource)before.Policy.Source!).ChangedFile);
        Assert.Null(Assert.IsType<LayeredSource>(Find(catalog).Policy.Source).ChangedFile);
    }

    [Fact]
    public void Reload_keeps_a_policy_whose_image_is_the_same_and_replaces_one_whose_image_is_another()
    {
        using PolicyCatalog catalog = new(Policy("clean"), _registry);
        PolicyGrant before = Find(catalog);
        catalog.Commit(catalog.Prepare(Policy("clean"), []));
        Assert.Same(before, Find(catalog));
        _registry.Remove("clean");
        _registry.Add(new ImageAddition("clean", _directory.WriteFile("new.mem", new byte[8192]), Base: null, PageBytes: null, Direct: false, MayUseAnyFile: true));
        catalog.Commit(catalog.Prepare(Policy("clean"), []));
        Assert.NotSame(before, Find(catalog));
        Assert.Equal(2, Find(catalog).Policy.Version);
    }

    private static PolicyGrant Find(PolicyCatalog catalog) => catalog.All.Single(policy => policy.Grant.Policy.Name == "p").Grant;

    [Theory]
    [InlineData("""{ "kind": "image" }""", "policies.p.source.image")]
    [InlineData("""{ "kind": "file", "path": "/x", "image": "clean" }""", "policies.p.source.image")]
    [InlineData("""{ "kind": "image", "image": "clean", "path": "/x" }""", "policies.p.source.path")]
    public void Name_and_kind_go_together(string source, string key) =>
        Assert.Contains(Layers.Errors(Layers.Minimal, $$"""{ "policies": { "p": { "source": {{source}} } } }"""), error => error.StartsWith(key, StringComparison.Ordinal));

    private static ManagerConfiguration Policy(string image) =>
        Layers.LoadValid(Layers.Minimal, $$"""{ "policies": { "p": { "source": { "kind": "image", "image": "{{image}}", "offset": "4KiB" } } } }""");

    private static TenantGrant Tenant(string images, string? directory = null)
    {
        string directories = directory is null ? "" : $"\"{directory}\"";
        ManagerConfiguration configuration = Layers.LoadValid($$"""
            { "policies": { "zero": { } },
              "tenants": { "everybody": { "default": true, "defaultPolicy": "zero", "images": ["{{images}}"], "sourceDirectories": [{{directories}}] } } }
            """);
        return new TenantCatalog(configuration).All.Single();
    }
}
