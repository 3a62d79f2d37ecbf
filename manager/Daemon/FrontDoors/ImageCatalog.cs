using System.Globalization;
using UffdManager.Daemon.Supervision;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine.Sources;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>
/// The objects made by MAP, shared between the sessions of a tenant and charged to it. The catalog holds no reference itself: an object
/// lives as long as a session that mapped it or a region that shows it, and leaves the catalog with the last of them. Any thread.
/// </summary>
/// <param name="limitBytes">Sizes that the objects of all tenants may have together.</param>
internal sealed class ImageCatalog(long limitBytes = long.MaxValue)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<ImageKey, (SharedImage Image, string Source, long Offset)> _images = [];
    private readonly Dictionary<SharedImage, (string Tenant, string Source)> _all = [];
    private readonly Dictionary<string, (int Count, long Bytes)> _usage = new(StringComparer.Ordinal);
    private long _bytes;

    /// <summary>What there is at this moment. The kernel is asked of each object, outside of the lock.</summary>
    public MappedReading Read()
    {
        List<(SharedImage Image, string Tenant, string Source)> held = [];
        lock (_gate)
        {
            foreach ((SharedImage image, (string tenant, string source)) in _all)
            {
                if (TryReference(image))
                    held.Add((image, tenant, source));
            }
        }

        List<MappedShare> shares = [];
        foreach ((SharedImage image, string tenant, string source) in held)
        {
            using (image)
                shares.Add(new MappedShare(tenant, source, 1, image.Length, image.MemoryBytes));
        }

        return new MappedReading(
            limitBytes, [.. shares.GroupBy(share => (share.Tenant, share.Source)).Select(group => MappedShare.Sum(group.Key.Tenant, group.Key.Source, [.. group]))]);
    }

    /// <summary>Finds the object, or makes it within the tenant's limits.</summary>
    /// <param name="tenant">Who pays.</param>
    /// <param name="key">What the object is; null for one that nobody else can ask for.</param>
    /// <param name="source">Where its contents come from; the object takes a reference of its own.</param>
    /// <param name="identity">The same text means the same source.</param>
    /// <param name="offset">Byte of the source at which it begins.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="writable">Whether the client wants to write.</param>
    public ImageDecision GetOrCreate(TenantGrant tenant, ImageKey? key, PageSource source, string identity, long offset, long length, bool writable)
    {
        lock (_gate)
        {
            if (key is { } wanted && _images.TryGetValue(wanted, out (SharedImage Image, string Source, long Offset) found) && TryReference(found.Image))
            {
                string? difference = found.Image.Length != length ? $"has {found.Image.Length} bytes, not {length}"
                    : found.Source != identity || found.Offset != offset ? "has contents from elsewhere"
                    : writable && !found.Image.Writable ? "is read-only"
                    : null;
                if (difference is null)
                    return new ImageDecision(new ImageLease(found.Image), ErrorCode.None, Errno.OK, "");
                found.Image.Dispose();
                return new ImageDecision(null, ErrorCode.Conflict, Errno.EEXIST, $"the object \"{wanted.Name}\" {difference}");
            }

            (int count, long bytes) = _usage.GetValueOrDefault(tenant.Name);
            if (count >= tenant.Limits.Maps)
                return OverLimit($"tenant {tenant.Name} has {count} objects, which is its limit: raise tenants.{tenant.Name}.limits.maps, or map fewer");
            if (length > tenant.Limits.MapBytes - bytes)
            {
                return OverLimit(
                    $"tenant {tenant.Name} has {bytes} bytes of objects and wants {length} more, its limit is {tenant.Limits.MapBytes}: raise tenants.{tenant.Name}.limits.mapBytes, or map less");
            }

            if (length > limitBytes - _bytes)
                return OverLimit($"the objects of all tenants have {_bytes} bytes and {length} more are wanted, their limit is {limitBytes}: raise images.mapBytes, or map less");

            SharedImage image = SharedImage.Create(source, offset, length, writable, NameOf(key, source), key is { ByPermission: true });
            image.OwnerTag = TagOf(tenant.Name, key, identity, offset);
            Enter(tenant.Name, key, image, identity, offset);
            return new ImageDecision(new ImageLease(image), ErrorCode.None, Errno.OK, "");
        }
    }

    /// <summary>Shares an object of the manager before again, and charges it to its tenant, whatever the limit is now.</summary>
    /// <param name="image">The object; not referenced.</param>
    /// <param name="ownerTag">What this catalog had written with it.</param>
    public void Restore(SharedImage image, string ownerTag)
    {
        if (OwnerTag.TryRead(ownerTag, 7) is not { } fields
            || !long.TryParse(fields[2], NumberStyles.None, CultureInfo.InvariantCulture, out long offset)
            || !long.TryParse(fields[5], NumberStyles.None, CultureInfo.InvariantCulture, out long keyOffset)
            || !long.TryParse(fields[6], NumberStyles.None, CultureInfo.InvariantCulture, out long keyLength))
        {
            return;
        }

        ImageKey? key = fields[3].Length + fields[4].Length > 0 ? new ImageKey(fields[0], fields[3], fields[4], keyOffset, keyLength, fields.Length > 7 && fields[7] == "1") : null;
        // One that this manager cannot fill is for those who have it already; who asks from here on gets another one.
        lock (_gate)
            Enter(fields[0], image.CanFill ? key : null, image, fields[1], offset);
    }

    private static ImageDecision OverLimit(string text) => new(null, ErrorCode.Limit, Errno.EDQUOT, text);

    private static string TagOf(string tenant, ImageKey? key, string identity, long offset) => OwnerTag.Write(
        tenant,
        identity,
        offset.ToString(CultureInfo.InvariantCulture),
        key?.Name ?? "",
        key?.Source ?? "",
        (key?.Offset ?? 0).ToString(CultureInfo.InvariantCulture),
        (key?.Length ?? 0).ToString(CultureInfo.InvariantCulture),
        key is { ByPermission: true } ? "1" : "0");

    // Under the lock.
    private void Enter(string tenant, ImageKey? key, SharedImage image, string identity, long offset)
    {
        (int count, long bytes) = _usage.GetValueOrDefault(tenant);
        _usage[tenant] = (count + 1, bytes + image.Length);
        _bytes += image.Length;
        _all.Add(image, (tenant, identity));
        if (key is { } own)
            _images[own] = (image, identity, offset);
        image.Released = () => Forget(tenant, key, image);
    }

    private static string NameOf(ImageKey? key, PageSource source)
    {
        string name = key is { Name.Length: > 0 } named ? named.Name : source.Description;

        // memfd_create takes 249 bytes, and the name is shown to people only.
        return ProtocolLimits.Clip(name, 200);
    }

    private static bool TryReference(SharedImage image)
    {
        try
        {
            image.AddReference();
            return true;
        }
        catch (ObjectDisposedException)
        {
            // Its last reference fell a moment ago; Forget has yet to take it out.
            return false;
        }
    }

    private void Forget(string tenant, ImageKey? key, SharedImage image)
    {
        lock (_gate)
        {
            if (key is { } own && _images.TryGetValue(own, out (SharedImage Image, string Source, long Offset) found) && ReferenceEquals(found.Image, image))
                _images.Remove(own);
            _all.Remove(image);
            _bytes -= image.Length;
            (int count, long bytes) = _usage[tenant];
            if (count == 1)
                _usage.Remove(tenant);
            else
                _usage[tenant] = (count - 1, bytes - image.Length);
        }
    }
}
