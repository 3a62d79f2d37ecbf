using UffdManager.Daemon.FrontDoors;
using UffdManager.Daemon.Tenancy;
using UffdManager.Daemon.Tests.Configuration;
using UffdManager.Engine.Sources;
using UffdManager.Linux;
using UffdManager.Protocol;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors;

/// <summary>What objects of MAP take, and how much of it there may be.</summary>
public sealed class ImageCatalogTests
{
    private const long MiB = 1 << 20;

    private readonly TenantGrant _one = Tenant("one");
    private readonly TenantGrant _two = Tenant("two");

    [Fact]
    public void Objects_of_all_tenants_are_bounded_together_and_make_room_when_they_go()
    {
        ImageCatalog catalog = new(8 * MiB);
        using ImageLease first = Make(catalog, _one, "a", 6 * MiB).Lease!;
        ImageDecision refused = Make(catalog, _two, "b", 3 * MiB);
        Assert.Equal((ErrorCode.Limit, Errno.EDQUOT), (refused.Code, refused.Errno));
        Assert.Contains("raise images.mapBytes", refused.Text, StringComparison.Ordinal);
        Assert.Equal(6 * MiB, catalog.Read().Shares.Sum(share => share.SizeBytes));

        // Who maps what is there takes nothing.
        using (ImageLease again = Make(catalog, _one, "a", 6 * MiB).Lease!)
            Assert.Same(first.Image, again.Image);
        using (ImageLease second = Make(catalog, _two, "b", 2 * MiB).Lease!)
            Assert.Equal(ErrorCode.Limit, Make(catalog, _two, "c", 4096).Code);
        first.Dispose();
        using ImageLease third = Make(catalog, _two, "c", 8 * MiB).Lease!;
        Assert.Equal(("two", 1, 8 * MiB), catalog.Read().Shares.Select(share => (share.Tenant, share.Objects, share.SizeBytes)).Single());
    }

    [Theory]
    [InlineData(12, 1, "raise tenants.one.limits.mapBytes")]
    [InlineData(1, 3, "raise tenants.one.limits.maps")]
    public void Tenant_at_its_own_limit_hears_which_and_what_to_do(int mebibytes, int objects, string text)
    {
        ImageCatalog catalog = new();
        List<ImageLease> held = [];
        for (int i = 1; i < objects; i++)
            held.Add(Make(catalog, _one, $"object {i}", MiB).Lease!);
        Assert.Contains(text, Make(catalog, _one, "one more", mebibytes * MiB).Text, StringComparison.Ordinal);
        held.ForEach(lease => lease.Dispose());
        Assert.Empty(catalog.Read().Shares);
    }

    [Fact]
    public void Memory_is_what_the_kernel_counts_by_tenant_and_source()
    {
        ImageCatalog catalog = new();
        using ImageLease one = Make(catalog, _one, "a", MiB, "image:1").Lease!;
        using ImageLease other = Make(catalog, _one, "b", MiB, "image:2").Lease!;
        using ImageLease two = Make(catalog, _two, "a", MiB, "image:1").Lease!;
        Fill(one.Image, 3);
        Fill(other.Image, 5);
        Fill(two.Image, 7);
        MappedReading reading = catalog.Read();
        Assert.Equal([("one", 3 * 4096L), ("two", 7 * 4096L)], reading.Of("image:1").Select(share => (share.Tenant, share.MemoryBytes)));
        Assert.Equal([("one", 8 * 4096L), ("two", 7 * 4096L)], reading.Tenants(name => name).Select(share => (share.Tenant, share.MemoryBytes)));
        Assert.Empty(reading.Of("image:3"));

        // What a client gives back is not counted any more.
        using (SafeFd descriptor = two.Image.HandOut(writable: true))
            Assert.Equal(Errno.OK, FileIo.Fallocate(descriptor, FallocateMode.PunchHole | FallocateMode.KeepSize, 0, 4096));
        Assert.Equal(6 * 4096L, catalog.Read().Of("image:1")[1].MemoryBytes);
    }

    [Fact]
    public void Objects_of_the_manager_before_are_counted_whatever_the_limit()
    {
        ImageCatalog before = new();
        using ImageLease lease = Make(before, _one, "a", 4 * MiB, "image:1").Lease!;
        ImageCatalog after = new(2 * MiB);
        after.Restore(lease.Image, lease.Image.OwnerTag);
        Assert.Equal([("one", 4 * MiB)], after.Read().Of("image:1").Select(share => (share.Tenant, share.SizeBytes)));
        Assert.Contains("raise images.mapBytes", Make(after, _two, "b", 4096).Text, StringComparison.Ordinal);
    }

    private static void Fill(SharedImage image, int pages)
    {
        using SafeFd descriptor = image.HandOut(writable: true);
        Assert.Equal(Errno.OK, FileIo.WriteAll(descriptor, new byte[pages * 4096], 0));
    }

    private static ImageDecision Make(ImageCatalog catalog, TenantGrant tenant, string name, long bytes, string identity = "zero") =>
        catalog.GetOrCreate(tenant, new ImageKey(tenant.Name, name, "", 0, 0, ByPermission: false), ZeroSource.Instance, identity, 0, bytes, writable: true);

    private static TenantGrant Tenant(string name) => new TenantCatalog(Layers.LoadValid($$"""
        {
          "policies": { "zero": {} },
          "tenants": { "{{name}}": { "default": true, "defaultPolicy": "zero", "limits": { "maps": 2, "mapBytes": "8MiB" } } }
        }
        """)).All.Single();
}
