using UffdManager.Daemon.Tenancy;
using UffdManager.Engine.Sources;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>
/// The objects made by MAP, shared between the sessions of a tenant and charged to it. The catalog holds no reference itself: an object
/// lives as long as a session that mapped it or a region that shows it, and leaves the catalog with the last of them. Any thread.
/// </summary>
internal sealed class ImageCatalog
{
    private readonly Lock _gate = new();
    private readonly Dictionary<ImageKey, SharedImage> _images = [];
    private readonly Dictionary<string, (int Count, long Bytes)> _usage = new(StringComparer.Ordinal);

    /// <summary>Finds the object, or makes it within the tenant's limits.</summary>
    /// <param name="tenant">Who pays.</param>
    /// <param name="key">What the object is; null for one that nobody else can ask for.</param>
    /// <param name="source">Where its contents come from; the object takes a reference of its own.</param>
    /// <param name="offset">Byte of the source at which it begins.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="writable">Whether the client wants to write.</param>
    public ImageDecision GetOrCreate(TenantGrant tenant, ImageKey? key, PageSource source, long offset, long length, bool writable)
    {
        lock (_gate)
        {
            if (key is { } wanted && _images.TryGetValue(wanted, out SharedImage? found) && TryReference(found))
            {
                if (found.Length == length && (found.Writable || !writable))
                    return new ImageDecision(new ImageLease(found), ErrorCode.None, Errno.OK, "");
                string text = found.Length == length
                    ? $"the object \"{wanted.Name}\" is read-only"
                    : $"the object \"{wanted.Name}\" has {found.Length} bytes, not {length}";
                found.Dispose();
                return new ImageDecision(null, ErrorCode.Conflict, Errno.EEXIST, text);
            }

            (int count, long bytes) = _usage.GetValueOrDefault(tenant.Name);
            if (count >= tenant.Limits.Maps)
                return new ImageDecision(null, ErrorCode.Limit, Errno.EDQUOT, $"tenant {tenant.Name} has {count} objects, which is its limit");
            if (length > tenant.Limits.MapBytes - bytes)
                return new ImageDecision(null, ErrorCode.Limit, Errno.EDQUOT, $"tenant {tenant.Name} may have {tenant.Limits.MapBytes} bytes of objects");

            SharedImage image = SharedImage.Create(source, offset, length, writable, NameOf(key, source));
            _usage[tenant.Name] = (count + 1, bytes + length);
            if (key is { } own)
                _images[own] = image;
            image.Released = () => Forget(tenant.Name, key, image);
            return new ImageDecision(new ImageLease(image), ErrorCode.None, Errno.OK, "");
        }
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
            if (key is { } own && _images.TryGetValue(own, out SharedImage? found) && ReferenceEquals(found, image))
                _images.Remove(own);
            (int count, long bytes) = _usage[tenant];
            if (count == 1)
                _usage.Remove(tenant);
            else
                _usage[tenant] = (count - 1, bytes - image.Length);
        }
    }
}
