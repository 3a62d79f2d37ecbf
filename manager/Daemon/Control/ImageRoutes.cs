using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using UffdManager.Control;
using UffdManager.Daemon.FrontDoors;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Daemon.Images;
using UffdManager.Daemon.Inspection;
using UffdManager.Daemon.Tenancy;
using UffdManager.Daemon.WorkingSets;
using UffdManager.Engine.Images;
using UffdManager.Linux;

namespace UffdManager.Daemon.Control;

/// <summary>Images: what there is, adding and removing.</summary>
internal sealed partial class ImageRoutes(
    ImageRegistry images, ChunkCache cache, ImageCatalog mapped, PolicyCatalog policies, SnapshotDoor snapshots, WorkingSetBooks books, ILogger<ImageRoutes> logger) : IControlRoutes
{
    private const uint Root = 0;

    // As for a fault loop.
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(5);

    private readonly SharedWork<ImageDto> _looks = new();
    private readonly ImageChanges _changes = new();

    public IEnumerable<ControlRoute> Routes =>
    [
        new(HttpMethods.Get, "/v1/images", AccessRight.Read, ListAsync),
        new(HttpMethods.Get, "/v1/images/{name}", AccessRight.Read, ShowAsync),
        new(HttpMethods.Post, "/v1/images", AccessRight.Admin, AddAsync),
        new(HttpMethods.Delete, "/v1/images/{name}", AccessRight.Admin, RemoveAsync),
    ];

    /// <summary>Does what may wait for a file system on a thread of its own.</summary>
    /// <exception cref="ProblemException">It cannot be done.</exception>
    public static async Task<T> CarryOutAsync<T>(Func<T> work)
    {
        try
        {
            return await Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }
        catch (ImageException e)
        {
            ProblemKind kind = e.Fault switch
            {
                ImageFault.Invalid => ProblemKind.BadRequest,
                ImageFault.Forbidden => ProblemKind.Forbidden,
                ImageFault.NotFound => ProblemKind.NotFound,
                ImageFault.Conflict => ProblemKind.Conflict,
                _ => ProblemKind.Kernel,
            };
            throw new ProblemException(kind, e.Message, e.Remedy);
        }
    }

    private Task ListAsync(ControlRequest request)
    {
        request.RefuseOthers();
        CacheReading reading = cache.Read();
        MappedReading objects = mapped.Read();
        IReadOnlyList<MappedShareDto> mappers = Documents(objects.Tenants(name => name));
        ImageListDto list = new()
        {
            Images = [.. images.All().Select(image => Document(image, objects, change: null))],
            Problems = images.Unreadable(),
            Cache = new ImageCacheDto
            {
                LimitBytes = reading.LimitBytes,
                Bytes = reading.Bytes,
                Hits = reading.Hits,
                Bypasses = reading.Bypasses,
                Tenants =
                [
                    .. reading.Tenants.OrderBy(tenant => tenant.Tenant, StringComparer.Ordinal).Select(tenant => new ImageCacheTenantDto
                    {
                        Tenant = tenant.Tenant,
                        Bytes = tenant.Bytes,
                        Misses = tenant.Misses,
                        Evictions = tenant.Evictions,
                    }),
                ],
            },
            Mapped = new MappedObjectsDto
            {
                LimitBytes = objects.LimitBytes,
                SizeBytes = mappers.Sum(share => share.SizeBytes),
                MemoryBytes = mappers.Sum(share => share.MemoryBytes),
                Tenants = mappers,
            },
        };
        return ControlResponse.JsonAsync(request.Http, list, ControlResponse.Json.ImageListDto);
    }

    private async Task ShowAsync(ControlRequest request)
    {
        request.RefuseOthers();
        string name = request.Value(0);
        ImageDto image = await _looks.DoAsync(name, () => CarryOutAsync(() => Look(name)), request.Aborted);
        if (images.Find(name)?.Source is { Identity: { } identity } source)
        {
            WorkingSetListDto list = await books.OfAsync(identity, source.Location, tenant: null, request.Aborted);
            image = image with { WorkingSets = list.WorkingSets, WorkingSetsProblem = list.Problem };
        }

        await ControlResponse.JsonAsync(request.Http, image, ControlResponse.Json.ImageDto);
    }

    private async Task AddAsync(ControlRequest request)
    {
        request.RefuseOthers();
        ImageAdditionDto wanted = await request.BodyAsync(ControlResponse.Json.ImageAdditionDto);
        uint uid = request.Peer.Credentials.Uid;
        ImageAddition addition = new(wanted.Name, wanted.File, wanted.Base, wanted.PageBytes, wanted.Direct, uid == Root || uid == ProcessInfo.EffectiveUid);
        ControlPeer peer = request.Peer;
        ImageDto image = await _changes.DoAsync(addition.Name, () => Add(addition, peer), request.Aborted);
        await ControlResponse.JsonAsync(request.Http, image, ControlResponse.Json.ImageDto, StatusCodes.Status201Created);
    }

    private async Task RemoveAsync(ControlRequest request)
    {
        request.RefuseOthers();
        string name = request.Value(0);

        // A configuration that names an image which is not there cannot be used: the next start would fail. What cannot be read is not there already.
        bool isThere = !images.IsUnreadable(name);
        if (isThere && policies.All.FirstOrDefault(policy => policy.Options.Source.Image == name).Grant is { } user)
            throw new ProblemException(ProblemKind.Conflict, $"policy {user.Policy.Name} takes its contents from image {name}", "take it out of the configuration and reload first");
        if (isThere && await FindUserAsync(name, request) is { } snapshot)
            throw new ProblemException(ProblemKind.Conflict, $"snapshot {snapshot} is served from image {name}: every VM that comes to it would be killed", "stop serving it, or take it out of the configuration and reload, first");
        ControlPeer peer = request.Peer;
        await _changes.DoAsync(name, () => Remove(name, peer), request.Aborted);
        request.Http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private ImageDto Add(ImageAddition addition, ControlPeer peer)
    {
        images.Add(addition);
        LogAdded(addition.Name, addition.Path, peer);
        return Look(addition.Name);
    }

    private bool Remove(string name, ControlPeer peer)
    {
        string? doubt = images.Remove(name);
        LogRemoved(name, peer);
        if (doubt is not null)
            LogDoubt(name, doubt);
        return true;
    }

    private async Task<string?> FindUserAsync(string image, ControlRequest request)
    {
        try
        {
            IReadOnlyList<SnapshotView> views = await snapshots.ViewAsync().WaitAsync(s_patience, request.Aborted);
            return views.FirstOrDefault(view => view.Options.Image == image || view.Options.Image == ImageName.Prefix + image)?.Name;
        }
        catch (TimeoutException)
        {
            throw new ProblemException(ProblemKind.Unavailable, "the door for snapshots does not answer, and may need the image", "ask again");
        }
    }

    // With a look at the files, whether anybody has them open or not.
    private ImageDto Look(string name)
    {
        string? change = null;
        try
        {
            using OpenedImage opened = images.Open(name);
        }
        catch (ImageException e) when (images.Find(name) is not null)
        {
            change = e.Message;
        }

        return Document(images.Get(name), mapped.Read(), change);
    }

    private static IReadOnlyList<MappedShareDto> Documents(IEnumerable<MappedShare> shares) =>
    [
        .. shares.Select(share => new MappedShareDto { Tenant = share.Tenant, Objects = share.Objects, SizeBytes = share.SizeBytes, MemoryBytes = share.MemoryBytes }),
    ];

    private static ImageDto Document(ImageReading image, MappedReading mapped, string? change)
    {
        LayeredSource? source = image.Source;
        string? missing = image.MissingBase is { } name ? $"image {name}, which it is a diff upon, is not there" : null;
        string? problem = missing ?? change ?? ImageChain.ProblemOf(image.Layers)?.Message ?? (source?.ChangedFile is { } file ? $"{file} is not what it was when the image was added" : null);
        return new ImageDto
        {
            Name = image.Definition.Name,
            Base = image.Definition.Base,
            Layers =
            [
                .. image.Layers.Select(layer => new ImageLayerDto { Image = layer.Name, Path = layer.Path, Bytes = layer.Bytes, HeaderSha256 = layer.HeaderSha256 }),
            ],
            PageBytes = image.Definition.PageBytes,
            Bytes = image.Definition.Bytes,
            AddedAt = Words.Time(image.Definition.AddedAt),
            State = missing is not null ? "missing" : problem is not null ? "changed" : source is null ? "idle" : "open",
            Problem = problem,
            Direct = image.Definition.Direct,
            IsDirect = source?.IsDirect,
            DataBytes = source?.DataBytes,
            CachedBytes = source?.CachedBytes(),
            ReadBytes = source?.ReadBytes,
            Hits = source?.Hits,
            Mapped = Documents(mapped.Of(ImageChain.IdentityOf(image.Layers))),
            WorkingSets = null,
            WorkingSetsProblem = null,
        };
    }

    [LoggerMessage(2250, LogLevel.Information, "Image {Image} was added for {Peer}: {Path}")]
    private partial void LogAdded(string image, string path, ControlPeer peer);

    [LoggerMessage(2251, LogLevel.Information, "Image {Image} was removed for {Peer}")]
    private partial void LogRemoved(string image, ControlPeer peer);

    [LoggerMessage(2254, LogLevel.Warning, "Image {Image} was removed, and may be there again after a crash of the machine: {Problem}")]
    private partial void LogDoubt(string image, string problem);
}
