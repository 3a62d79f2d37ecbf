using UffdManager.Daemon.FrontDoors;
using UffdManager.Daemon.Images;
using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine.Images;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;

namespace UffdManager.Daemon.Supervision;

/// <summary>
/// What the engine asks while it restores sessions. Holds every restored object until it is disposed, so that the sessions that mapped them can take references of
/// their own meanwhile.
/// </summary>
internal sealed class RestoreOwner(TenantCatalog tenants, SourceCatalog sources, ImageRegistry registry, ImageCatalog images) : IRestoreOwner, IDisposable
{
    private readonly Dictionary<long, ImageLease> _images = [];
    private readonly HashSet<string> _retired = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Tenants that the configuration does not know any more.</summary>
    public IReadOnlyCollection<string> Retired => _retired;

    /// <inheritdoc/>
    public Tenant TenantOf(string name, int weight, TenantLimits recorded)
    {
        Tenant tenant = tenants.Restore(name, weight, recorded, out bool isRetired);
        if (isRetired)
            _retired.Add(name);
        return tenant;
    }

    /// <inheritdoc/>
    public void SourceRestored(PageSource source, string ownerTag)
    {
        if (source is LayeredSource image)
            registry.Restore(image, ownerTag);
        else
            sources.Restore(source, ownerTag, tenants.SourcesOf);
    }

    /// <inheritdoc/>
    public void ImageRestored(SharedImage image, string ownerTag)
    {
        images.Restore(image, ownerTag);
        _images[image.Id] = new ImageLease(image.AddReference());
    }

    /// <summary>A reference of one's own to a restored object; null when it is gone.</summary>
    public ImageLease? TryLease(long id) => _images.TryGetValue(id, out ImageLease? lease) ? new ImageLease(lease.Image.AddReference()) : null;

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (ImageLease lease in _images.Values)
            lease.Dispose();
        _images.Clear();
    }
}
