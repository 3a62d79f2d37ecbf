using System.Text.Json;
using UffdManager.Engine.Images;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>
/// What sessions share, made again from what was stored: sources and images, each once. Holds a reference to each until it is disposed; what no session
/// has taken by then goes.
/// </summary>
internal sealed class RestoredParts(InheritedDescriptors inherited, DescriptorKeeper keeper, ChunkCache cache, IRestoreOwner owner) : IDisposable
{
    private readonly Dictionary<long, PageSource> _sources = [];
    private readonly Dictionary<long, SharedImage> _images = [];
    private readonly Dictionary<long, string> _lostImages = [];
    private readonly Dictionary<long, string> _lostSources = [];

    /// <summary>Makes all images again; what is wrong with one is told to the sessions that show it.</summary>
    public void RestoreImages()
    {
        foreach (long id in inherited.Images.ToArray())
        {
            try
            {
                _images[id] = RestoreImage(id);
            }
            catch (Exception failure) when (failure is CorruptStateException or SyscallException or ArgumentException)
            {
                _lostImages[id] = failure.Message;
                keeper.RemoveImage(id);
            }
        }
    }

    /// <summary>The subject of a document.</summary>
    /// <exception cref="CorruptStateException">It cannot be made again.</exception>
    public object Read(DocumentKind kind, byte[] bytes)
    {
        try
        {
            return kind switch
            {
                DocumentKind.Policy => Policy(Parse(JsonSerializer.Deserialize(bytes, StateJson.Default.PolicyDocument))),
                DocumentKind.Source => Source(Parse(JsonSerializer.Deserialize(bytes, StateJson.Default.SourceDocument))),
                DocumentKind.Image => Image(Parse(JsonSerializer.Deserialize(bytes, StateJson.Default.ImageReference)).Id),
                _ => throw new CorruptStateException($"a document is of the unknown kind {(int)kind}"),
            };
        }
        catch (JsonException failure)
        {
            throw new CorruptStateException($"a document cannot be read: {failure.Message}");
        }
    }

    public void Dispose()
    {
        foreach (SharedImage image in _images.Values)
        {
            image.Dispose();
        }

        foreach (PageSource source in _sources.Values)
        {
            source.Dispose();
        }
    }

    private static T Parse<T>(T? parsed)
        where T : class => parsed ?? throw new CorruptStateException("a document is empty");

    private SharedImage RestoreImage(long id)
    {
        (SafeMemfd memory, SafeMemfd stateMemory) = inherited.TakeImage(id);
        ImageMemory state;
        ImageDocument document;
        try
        {
            state = ImageMemory.Open(stateMemory, out document);
        }
        catch
        {
            memory.Dispose();
            throw;
        }

        PageSource source;
        try
        {
            source = document.Source is null ? ZeroSource.Instance : Source(document.Source);
        }
        catch
        {
            memory.Dispose();
            state.Dispose();
            throw;
        }

        SharedImage image = SharedImage.Restore(memory, state, document, source);
        image.KeepAs(keeper, id);
        owner.ImageRestored(image, image.OwnerTag);
        return image;
    }

    // Without its source a policy is none to register with any more; what is registered has sources of its own.
    private Policy Policy(PolicyDocument document)
    {
        PageSource? source = null;
        if (document.HasSource)
        {
            try
            {
                source = document.Source is null ? ZeroSource.Instance : Source(document.Source);
            }
            catch (CorruptStateException)
            {
                source = LostSource.Instance;
            }
        }

        return document.ToPolicy(source);
    }

    private SharedImage Image(long id) =>
        _images.GetValueOrDefault(id) ?? throw new CorruptStateException($"image {id}: {_lostImages.GetValueOrDefault(id, "its descriptors are not in the store")}");

    private PageSource Source(SourceDocument document)
    {
        if (document.Id == 0)
        {
            return LostSource.Instance;
        }

        if (_sources.TryGetValue(document.Id, out PageSource? known))
        {
            return known;
        }

        // Each session is told the reason, not that the first one had taken the descriptors.
        if (_lostSources.TryGetValue(document.Id, out string? reason))
        {
            throw new CorruptStateException(reason);
        }

        PageSource source;
        try
        {
            source = document.Layers is LayersDocument layers ? Layered(document, layers) : Single(document);
        }
        catch (CorruptStateException failure)
        {
            _lostSources[document.Id] = failure.Message;
            throw;
        }

        source.OwnerTag = document.OwnerTag;
        source.KeepAs(keeper, document.Id);
        _sources[document.Id] = source;
        owner.SourceRestored(source, document.OwnerTag);
        return source;
    }

    private PageSource Single(SourceDocument document)
    {
        SafeFile file = inherited.TakeSource(document.Id, 1)[0];
        FileStatus status = FileIo.Stat(file);
        if (status.Inode != document.Inode || status.Device != document.Device)
        {
            file.Dispose();
            throw new CorruptStateException($"the stored descriptor of {document.Description} is another file");
        }

        return document.IsMemfd ? new MemfdSource(file, document.Description) : new FileSource(file, document.Description);
    }

    private PageSource Layered(SourceDocument document, LayersDocument wanted)
    {
        List<SafeFile> files = inherited.TakeSource(document.Id, wanted.Files.Count);
        List<ImageLayer> layers = [];
        try
        {
            List<(SafeFile File, FileStatus Status)> found = [.. files.Select(file => (file, FileIo.Stat(file)))];
            foreach (LayerDocument layer in wanted.Files)
            {
                (SafeFile? file, FileStatus status) = found.Find(candidate => (candidate.Status.Device, candidate.Status.Inode) == (layer.Device, layer.Inode));
                found.Remove((file!, status));
                if (file is null)
                {
                    throw new CorruptStateException($"{layer.Description}, a file of {document.Description}, is another file");
                }

                files.Remove(file);
                layers.Add(new ImageLayer(file, layer.Description, layer.IsDirect, status with { Size = layer.Bytes, ModifiedNanoseconds = layer.ModifiedNanoseconds }));
            }
        }
        catch
        {
            layers.ForEach(layer => layer.Dispose());
            files.ForEach(file => file.Dispose());
            throw;
        }

        // Its files are searched by whoever needs the first page: all clients of all tenants wait for the end of the restore. One that has been changed since is read by
        // nobody, as without a restart; who needs a page of it meets the policy's verdict, and who has all of its pages does not notice.
        if (wanted.IsPlain && layers.Count == 1)
        {
            PlainImage plain = PlainImage.Unsearched(layers[0], document.Description);
            _ = plain.FindChange();
            return plain;
        }

        LayeredSource source = LayeredSource.Unsearched(layers, wanted.PageBytes, cache, document.Description);
        _ = source.FindChange();
        return source;
    }
}
