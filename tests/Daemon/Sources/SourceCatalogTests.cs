using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Tenancy;
using UffdManager.Daemon.Tests.Configuration;
using UffdManager.Daemon.Tests.Images;
using UffdManager.Engine.Images;
using UffdManager.Engine.Sources;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Sources;

public sealed class SourceCatalogTests : IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly SourceCatalog _catalog = new(Registry.Empty());

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void File_is_opened_once_and_closed_with_its_last_reference()
    {
        string path = _directory.WriteFile("image", new byte[4096]);
        TenantGrant tenant = Tenant();

        SourceLease first = _catalog.OpenPath(tenant, "image").Lease!;
        SourceLease second = _catalog.OpenPath(tenant, path).Lease!;
        PageSource source = first.Source;
        Assert.Same(source, second.Source);
        Assert.Equal(first.Identity, second.Identity);
        Assert.Equal(1, tenant.Sources.Open);

        // A region holds a reference of its own.
        PageSource region = source.AddReference();
        first.Dispose();
        first.Dispose();
        second.Dispose();
        Assert.Equal(1, tenant.Sources.Open);
        region.Dispose();
        AwaitClosed(tenant);

        using SourceLease again = _catalog.OpenPath(tenant, "image").Lease!;
        Assert.NotSame(source, again.Source);
    }

    [Fact]
    public void File_that_has_grown_is_another_source()
    {
        string path = _directory.WriteFile("image", new byte[4096]);
        TenantGrant tenant = Tenant();
        using SourceLease small = _catalog.OpenPath(tenant, "image").Lease!;
        File.AppendAllText(path, new string('x', 4096));
        using SourceLease large = _catalog.OpenPath(tenant, "image").Lease!;
        Assert.Equal((4096L, 8192L), (small.Source.Length, large.Source.Length));
    }

    [Fact]
    public void Tenants_do_not_share_sources()
    {
        _directory.WriteFile("image", new byte[4096]);
        using SourceLease one = _catalog.OpenPath(Tenant("one"), "image").Lease!;
        using SourceLease two = _catalog.OpenPath(Tenant("two"), "image").Lease!;
        Assert.NotSame(one.Source, two.Source);
    }

    [Fact]
    public void Limit_on_open_sources_is_reached_and_given_back()
    {
        _directory.WriteFile("a", new byte[4096]);
        _directory.WriteFile("b", new byte[4096]);
        TenantGrant tenant = Tenant(sources: 1);
        SourceLease held = _catalog.OpenPath(tenant, "a").Lease!;

        SourceDecision refused = _catalog.OpenPath(tenant, "b");
        Assert.True(refused.LimitReached);
        Assert.Equal(Errno.EMFILE, refused.Errno);

        held.Dispose();
        AwaitClosed(tenant);
        using SourceLease? granted = _catalog.OpenPath(tenant, "b").Lease;
        Assert.NotNull(granted);
    }

    [Fact]
    public void Sparse_files_count_with_their_whole_size()
    {
        string path = _directory.WriteFile("sparse", ""u8);
        using (FileStream file = File.OpenWrite(path))
            file.SetLength(3L << 20);
        _directory.WriteFile("small", new byte[4096]);
        TenantGrant tenant = Tenant(sourceBytes: 3L << 20);

        SourceLease held = _catalog.OpenPath(tenant, "sparse").Lease!;
        Assert.True(_catalog.OpenPath(tenant, "small").LimitReached);
        held.Dispose();
        AwaitClosed(tenant);
        using SourceLease? granted = _catalog.OpenPath(tenant, "small").Lease;
        Assert.NotNull(granted);
    }

    [Fact]
    public void Refused_descriptor_is_closed()
    {
        string path = _directory.WriteFile("image", new byte[4096]);
        DescriptorWatch watch = DescriptorWatch.Start();
        foreach (OpenFlags flags in (OpenFlags[])[OpenFlags.WriteOnly, OpenFlags.Path])
            Assert.Equal(Errno.EBADF, _catalog.AdoptDescriptor(Tenant(), FileIo.Open(path, flags)).Errno);
        Assert.Equal(Errno.EACCES, _catalog.AdoptDescriptor(Tenant(descriptors: false), FileIo.Open(path, OpenFlags.ReadOnly)).Errno);
        Assert.Equal(Errno.EINVAL, _catalog.AdoptDescriptor(Tenant(), FileIo.Open(_directory.Path, OpenFlags.ReadOnly)).Errno);
        Assert.DoesNotContain(watch.Added(), link => link.Contains(_directory.Path, StringComparison.Ordinal));
    }

    [Fact]
    public void Handed_over_file_is_read_through_a_description_that_the_client_cannot_change()
    {
        byte[] contents = new byte[4096];
        Array.Fill(contents, (byte)9);
        string path = _directory.WriteFile("image", contents);
        using SafeFile clients = FileIo.Open(path, OpenFlags.ReadWrite);
        using SourceLease lease = _catalog.AdoptDescriptor(Tenant(), clients.Duplicate<SafeFile>()).Lease!;

        // What the client does to its description is not done to the manager's: only one of the two is open for writing.
        string[] modes = [.. Directory.GetFiles("/proc/self/fd")
            .Where(fd => File.ResolveLinkTarget(fd, returnFinalTarget: false)?.FullName == path)
            .Select(fd => File.ReadLines("/proc/self/fdinfo/" + Path.GetFileName(fd)).First(line => line.StartsWith("flags:", StringComparison.Ordinal)))
            .Select(line => line[^1..]).Order(StringComparer.Ordinal)];
        Assert.Equal(["0", "2"], modes);
        Assert.Equal(4096, lease.Source.Length);
    }

    [Fact]
    public void Sealed_memory_is_a_memory_source_and_unsealed_memory_a_file()
    {
        foreach (bool isSealed in (bool[])[true, false])
        {
            using SafeMemfd memfd = Memfd.Create("image", MemfdFlags.AllowSealing);
            Memfd.Truncate(memfd, 8192);
            if (isSealed)
                Assert.Equal(Errno.OK, Memfd.AddSeals(memfd, MemfdSeals.Shrink));
            using SourceLease lease = _catalog.AdoptDescriptor(Tenant(), memfd.Duplicate<SafeFile>()).Lease!;
            Assert.Equal(isSealed ? typeof(MemfdSource) : typeof(FileSource), lease.Source.GetType());
        }
    }

    [Fact]
    public void Path_needs_a_source_directory()
    {
        string path = _directory.WriteFile("image", new byte[4096]);
        TenantGrant tenant = new TenantCatalog(Layers.LoadValid(Layers.Minimal)).Resolve(new PeerIdentity(1, 1, 1, null)).Grant!;
        SourceDecision decision = _catalog.OpenPath(tenant, path);
        Assert.Equal((Errno.EACCES, "tenant everybody has no source directories"), (decision.Errno, decision.Refusal));
    }

    [Fact]
    public void Later_directory_is_searched_when_an_earlier_one_does_not_know_the_name()
    {
        Directory.CreateDirectory(_directory.Combine("first"));
        Directory.CreateDirectory(_directory.Combine("second"));
        File.WriteAllBytes(_directory.Combine("second", "image"), new byte[4096]);
        TenantGrant tenant = Tenant(directories: [_directory.Combine("first"), _directory.Combine("second")]);
        using SourceLease? lease = _catalog.OpenPath(tenant, "image").Lease;
        Assert.NotNull(lease);
    }

    [Fact]
    public void File_that_an_operator_names_is_memory_that_all_of_its_tenant_share()
    {
        string path = _directory.WriteFile("memory", new byte[3 * 4096]);
        TenantGrant tenant = Tenant();
        using SourceLease one = _catalog.OpenNamed(tenant, path).Lease!;
        using SourceLease two = _catalog.OpenNamed(tenant, "memory").Lease!;
        PlainImage source = Assert.IsType<PlainImage>(one.Source);
        Assert.Same(source, two.Source);
        Assert.Equal((path, 3 * 4096L), (source.Location, source.Length));

        // A client's own file is none of the operator's, and the other way round.
        using SourceLease own = _catalog.OpenPath(tenant, path).Lease!;
        Assert.IsType<FileSource>(own.Source);
        Assert.Equal(own.Source.Identity, source.Identity);
        Assert.Equal(2, tenant.Sources.Open);
        one.Dispose();
        two.Dispose();
        own.Dispose();
        AwaitClosed(tenant);
    }

    [Fact]
    public void File_that_was_written_is_another_source_for_whoever_comes_then()
    {
        string path = _directory.WriteFile("memory", new byte[4096]);
        TenantGrant tenant = Tenant();
        DateTime before = File.GetLastWriteTimeUtc(path);
        using SourceLease old = _catalog.OpenNamed(tenant, path).Lease!;
        File.SetLastWriteTimeUtc(path, DateTime.UnixEpoch);
        using SourceLease young = _catalog.OpenNamed(tenant, path).Lease!;
        Assert.NotSame(old.Source, young.Source);
        Assert.Equal(Errno.ESTALE, ((PlainImage)old.Source).FindChange());
        Assert.Equal(Errno.OK, ((PlainImage)young.Source).FindChange());

        // Nor is one that was noticed to have changed any better for being put back.
        File.SetLastWriteTimeUtc(path, before);
        using SourceLease again = _catalog.OpenNamed(tenant, path).Lease!;
        Assert.NotSame(old.Source, again.Source);
        Assert.Equal(Errno.OK, ((PlainImage)again.Source).FindChange());
    }

    [Fact]
    public void File_of_the_manager_before_is_shared_with_whoever_names_it_now()
    {
        string path = _directory.WriteFile("memory", new byte[4096]);
        TenantGrant tenant = Tenant();
        using SourceLease lease = _catalog.OpenNamed(tenant, path).Lease!;
        SourceCatalog next = new(Registry.Empty());
        TenantGrant then = Tenant();
        next.Restore(lease.Source, lease.Source.OwnerTag, _ => then.Sources);
        using SourceLease shared = next.OpenNamed(then, path).Lease!;
        Assert.Same(lease.Source, shared.Source);
        Assert.Equal(1, then.Sources.Open);
        using SourceLease own = next.OpenPath(then, path).Lease!;
        Assert.NotSame(lease.Source, own.Source);
    }

    [Theory]
    [InlineData(0, "is empty")]
    [InlineData(-1, "not a regular file")]
    public void What_is_no_memory_file_is_refused_with_the_reason(int bytes, string reason)
    {
        string path = bytes < 0 ? Directory.CreateDirectory(_directory.Combine("memory")).FullName : _directory.WriteFile("memory", new byte[bytes]);
        TenantGrant tenant = Tenant();
        SourceDecision decision = _catalog.OpenNamed(tenant, path);
        Assert.Equal(Errno.EINVAL, decision.Errno);
        Assert.Contains(reason, decision.Refusal, StringComparison.Ordinal);
        Assert.Equal(0, tenant.Sources.Open);
    }

    // Files are closed where a slow file system hurts nobody, not where the last reference falls.
    private static void AwaitClosed(TenantGrant tenant) => Eventually.True(() => tenant.Sources.Open == 0, "the source's end");

    private TenantGrant Tenant(
        string name = "everybody", int sources = 10, bool descriptors = true, string[]? directories = null, long sourceBytes = 1 << 30)
    {
        string list = string.Join(", ", (directories ?? [_directory.Path]).Select(directory => $"\"{directory}\""));
        ManagerConfiguration configuration = Layers.LoadValid($$"""
            { "policies": { "zero": {} },
              "tenants": { "{{name}}": {
                "default": true, "defaultPolicy": "zero", "sourceDirectories": [{{list}}], "sourceDescriptors": {{(descriptors ? "true" : "false")}},
                "limits": { "sources": {{sources}}, "sourceBytes": {{sourceBytes}} } } } }
            """);
        return new TenantCatalog(configuration).Resolve(new PeerIdentity(1, 1, 1, null)).Grant!;
    }
}
