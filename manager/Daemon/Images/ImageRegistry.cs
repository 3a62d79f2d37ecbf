using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Supervision;
using UffdManager.Engine.Images;
using UffdManager.Linux;

namespace UffdManager.Daemon.Images;

/// <summary>
/// The images that operators have added, by name. One that somebody wanted stays open until it is removed, so that what is cached of it outlives its sessions, and all
/// who want it share it. Any thread; opening and adding wait for file systems.
/// </summary>
internal sealed class ImageRegistry : IDisposable
{
    /// <summary>A base and diffs upon it.</summary>
    public const int MaximumLayers = 16;

    // Guards the dictionary; no file is touched under it.
    private readonly Lock _gate = new();

    // One change at a time, so that what is on the disk and what is in memory are the same.
    private readonly Lock _changing = new();
    private readonly Dictionary<string, Entry> _images = new(StringComparer.Ordinal);
    private readonly List<string> _problems = [];

    // By name: why a file that is there is not an image.
    private readonly Dictionary<string, string> _unreadable = new(StringComparer.Ordinal);
    private readonly ImageFolder _folder;
    private readonly ImageOptions _options;
    private readonly ChunkCache _cache;
    private readonly TimeProvider _time;
    private int _opened;

    public ImageRegistry(ImageOptions options, ChunkCache cache, TimeProvider time)
    {
        _options = options;
        _cache = cache;
        _time = time;
        _folder = new ImageFolder(options.Directory);
        foreach (ImageDefinition definition in _folder.Load(_problems, _unreadable))
            _images.Add(definition.Name, new Entry(definition));
    }

    /// <summary>What was found in the directory and cannot be used, for the log.</summary>
    public IReadOnlyList<string> Problems => _problems;

    /// <summary>Times that the files of an image were opened to be served from.</summary>
    public int Opened => Volatile.Read(ref _opened);

    /// <summary>All images, by name.</summary>
    public IReadOnlyList<ImageReading> All()
    {
        lock (_gate)
            return [.. _images.Values.OrderBy(entry => entry.Definition.Name, StringComparer.Ordinal).Select(Read)];
    }

    /// <summary>One image; null when there is none of this name.</summary>
    public ImageReading? Find(string name)
    {
        lock (_gate)
            return _images.TryGetValue(name, out Entry? entry) ? Read(entry) : null;
    }

    /// <summary>One image.</summary>
    /// <exception cref="ImageException">There is none of this name.</exception>
    public ImageReading Get(string name) => Find(name) ?? throw Unknown(name);

    /// <summary>The images whose files could not be read when the daemon started, with the reason.</summary>
    public IReadOnlyList<string> Unreadable()
    {
        lock (_gate)
            return [.. _unreadable.Values.Order(StringComparer.Ordinal)];
    }

    /// <summary>Whether the file of an image of this name could not be read when the daemon started.</summary>
    public bool IsUnreadable(string name)
    {
        lock (_gate)
            return _unreadable.ContainsKey(name);
    }

    /// <summary>Adds an image: its files are examined and opened, and it is remembered. May wait for their file systems, and holds up nobody while it does.</summary>
    /// <exception cref="ImageException">It cannot be added, or not remembered.</exception>
    public void Add(ImageAddition wanted)
    {
        if (!ImageName.IsValid(wanted.Name))
            throw new ImageException(ImageFault.Invalid, $"\"{wanted.Name}\" is not allowed as a name", ImageName.Rule);
        if (wanted.Path.Length == 0 || wanted.Path[0] != '/' || wanted.Path.Contains('\0', StringComparison.Ordinal))
            throw new ImageException(ImageFault.Invalid, $"\"{wanted.Path}\" is no absolute path");
        ImageReading? below = BaseOf(wanted);
        CheckIsFree(wanted.Name);

        // Not under the lock: a file system that does not answer must hold up nobody whose files lie elsewhere.
        (FileStatus status, string header, string? directory) = ImageFileOpener.Examine(wanted.Path, wanted.MayUseAnyFile ? null : _options.SourceDirectories);
        ImageDefinition definition = new()
        {
            Version = below is null ? ImageDefinition.FirstVersion : ImageDefinition.FirstWithBaseIdentity,
            Name = wanted.Name,
            Path = wanted.Path,
            Below = directory,
            Base = wanted.Base,
            BaseIdentity = below is null ? null : ImageChain.IdentityOf(below.Layers),
            PageBytes = wanted.PageBytes ?? below?.Definition.PageBytes ?? 4096,
            Direct = wanted.Direct,
            Inode = status.Inode,
            Bytes = status.Size,
            ModifiedNanoseconds = status.ModifiedNanoseconds,
            HeaderSha256 = header,
            AddedAt = _time.GetUtcNow(),
        };
        List<ImageDefinition> layers = [.. below?.Layers ?? [], definition];
        Check(definition, below, layers);
        LayeredSource source = Make(layers);
        try
        {
            lock (_changing)
            {
                CheckIsFree(wanted.Name);
                if (BaseOf(wanted) is { } now && ImageChain.IdentityOf(now.Layers) != definition.BaseIdentity)
                    throw new ImageException(ImageFault.Conflict, $"image {wanted.Base} has become another one meanwhile", "add the diff again, if it is one upon what that is now");
                _folder.Save(definition);
                lock (_gate)
                {
                    _unreadable.Remove(wanted.Name);
                    _images.Add(wanted.Name, new Entry(definition) { Source = source });
                }
            }
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    /// <summary>Forgets an image. Who is served from it goes on being served. What has the place of an image and cannot be read is removed as well, be it that it has been moved away since.</summary>
    /// <returns>Why the image may be there again after a crash of the machine; null when it will not.</returns>
    /// <exception cref="ImageException">There is none, others are diffs upon it, or it cannot be forgotten.</exception>
    public string? Remove(string name)
    {
        lock (_changing)
        {
            if (Find(name) is null && (!ImageName.IsValid(name) || !_folder.Has(name)))
                return WasMovedAway(name) ? null : throw Unknown(name);
            if (Find(name) is not null && All().FirstOrDefault(image => image.Definition.Base == name) is { } above)
                throw new ImageException(ImageFault.Conflict, $"image {above.Definition.Name} is a diff upon {name}", $"'uffdctl image remove {above.Definition.Name}' first", Errno.EBUSY);
            string? doubt = _folder.Delete(name);
            Entry? entry;
            lock (_gate)
            {
                _unreadable.Remove(name);
                _images.Remove(name, out entry);
            }

            entry?.Source?.Dispose();
            return doubt;
        }
    }

    /// <summary>Opens an image to be served from; shared with everybody who has it open.</summary>
    /// <returns>The caller disposes it.</returns>
    /// <exception cref="ImageException">There is none, or its files are not what they were.</exception>
    public OpenedImage Open(string name)
    {
        (Entry entry, IReadOnlyList<ImageDefinition> layers) = Look(name);
        string identity = ImageChain.IdentityOf(layers);
        if (TryUse(entry) is { } shared)
            return new OpenedImage(shared, identity);

        // One at a time: hundreds of VMs that are handed over at once would all search the files. What was touched and put back is opened anew, and the truth told either way.
        lock (entry.Opening)
            return new OpenedImage(TryUse(entry) ?? Share(entry, Make(layers)), identity);
    }

    /// <summary>Shares a source of the manager before again, for those who ask for its image by name.</summary>
    /// <param name="source">The source; not owned.</param>
    /// <param name="ownerTag">What was written with it.</param>
    public void Restore(LayeredSource source, string ownerTag)
    {
        if (OwnerTag.TryRead(ownerTag, 2) is not { } fields)
            return;
        lock (_gate)
        {
            if (source.ChangedFile is null && _images.TryGetValue(fields[0], out Entry? entry) && entry.Source is null && ImageChain.IdentityOf(Read(entry).Layers) == fields[1])
                entry.Source = (LayeredSource)source.AddReference();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            foreach (Entry entry in _images.Values)
                entry.Source?.Dispose();
            _images.Clear();
        }
    }

    private ImageReading? BaseOf(ImageAddition wanted) => wanted.Base is { } name ? Find(name) ?? throw Unknown(name) : null;

    private void CheckIsFree(string name)
    {
        if (Find(name) is not null)
            throw new ImageException(ImageFault.Conflict, $"there is an image {name} already", $"'uffdctl image remove {name}' first, or take another name", Errno.EEXIST);
        _folder.CheckIsFree(name);
    }

    private static void Check(ImageDefinition definition, ImageReading? below, List<ImageDefinition> layers)
    {
        if (below is not null && ImageChain.ProblemOf(below.Layers) is { } problem)
            throw problem;
        if (layers.Count > MaximumLayers)
            throw new ImageException(ImageFault.Invalid, $"an image has at most {MaximumLayers} files, and this one would have {layers.Count}", "merge some of the diffs into one file");
        if (definition.PageBytes is not (4096 or (2 << 20)))
            throw new ImageException(ImageFault.Invalid, $"pages of {definition.PageBytes} bytes are not allowed", "allowed are 4096 and 2097152");
        if (below is not null && below.Definition.PageBytes != definition.PageBytes)
            throw new ImageException(ImageFault.Invalid, $"image {below.Definition.Name} has pages of {below.Definition.PageBytes} bytes, and a diff upon it has the same");
        if (definition.Bytes % definition.PageBytes != 0 && definition.PageBytes != 4096)
            throw new ImageException(ImageFault.Invalid, $"{definition.Path} has {definition.Bytes} bytes, which are not whole pages of {definition.PageBytes}");
        if (layers.Take(layers.Count - 1).FirstOrDefault(layer => layer.Inode == definition.Inode && layer.Path == definition.Path) is { } same)
            throw new ImageException(ImageFault.Invalid, $"{definition.Path} is the file of image {same.Name}, and cannot be a diff upon it");
    }

    private LayeredSource Make(IReadOnlyList<ImageDefinition> definitions)
    {
        List<ImageLayer> layers = [];
        Interlocked.Increment(ref _opened);
        try
        {
            foreach (ImageDefinition definition in definitions)
                layers.Add(ImageFileOpener.OpenLayer(definition));
        }
        catch
        {
            layers.ForEach(layer => layer.Dispose());
            throw;
        }

        ImageDefinition image = definitions[^1];
        try
        {
            LayeredSource made = new(layers, image.PageBytes, _cache, $"image {image.Name}") { OwnerTag = OwnerTag.Write(image.Name, ImageChain.IdentityOf(definitions)) };
            if (made.FindChange() is not { } changed)
                return made;
            made.Dispose();
            throw ImageFileOpener.Changed(definitions.FirstOrDefault(layer => layer.Path == changed)?.Name ?? image.Name, changed);
        }
        catch (ArgumentException unusable)
        {
            throw new ImageException(ImageFault.Invalid, unusable.Message);
        }
        catch (SyscallException failure)
        {
            throw new ImageException(ImageFault.Kernel, $"image {image.Name}: {failure.Message}", errno: failure.Errno);
        }
    }

    private (Entry Entry, IReadOnlyList<ImageDefinition> Layers) Look(string name)
    {
        lock (_gate)
        {
            Entry entry = _images.GetValueOrDefault(name) ?? throw Unknown(name);
            ImageReading reading = Read(entry);
            return ImageChain.ProblemOf(reading.Layers) is { } problem ? throw problem : (entry, reading.Layers);
        }
    }

    // What is open and unchanged, referenced. Who has the changed one goes on with it; nobody new gets it.
    private LayeredSource? TryUse(Entry entry)
    {
        LayeredSource? source;
        lock (_gate)
            source = (LayeredSource?)entry.Source?.AddReference();
        if (source?.FindChange() is null)
            return source;
        bool isMine;
        lock (_gate)
        {
            isMine = entry.Source == source;
            entry.Source = isMine ? null : entry.Source;
        }

        // Outside of the lock: the last reference closes files.
        if (isMine)
            source.Dispose();
        source.Dispose();
        return null;
    }

    // Who opened it keeps it also if the image has been removed meanwhile.
    private LayeredSource Share(Entry entry, LayeredSource made)
    {
        lock (_gate)
        {
            if (entry.Source is null && _images.TryGetValue(entry.Definition.Name, out Entry? now) && now == entry)
                entry.Source = (LayeredSource)made.AddReference();
        }

        return made;
    }

    // Under the lock. The lowest layer of a chain whose base is missing still names it.
    private ImageReading Read(Entry entry)
    {
        List<ImageDefinition> layers = [entry.Definition];
        while (layers[0].Base is { } name && layers.Count < MaximumLayers && _images.TryGetValue(name, out Entry? below))
            layers.Insert(0, below.Definition);
        return new ImageReading(entry.Definition, layers, entry.Source);
    }

    // What could not be read at the start is nobody's problem any more when it is not there. Its name was that of a file, and leads nowhere else.
    private bool WasMovedAway(string name)
    {
        if (!IsUnreadable(name) || _folder.Has(name))
            return false;
        lock (_gate)
            _unreadable.Remove(name);
        return true;
    }

    private ImageException Unknown(string name)
    {
        lock (_gate)
        {
            if (_unreadable.TryGetValue(name, out string? problem))
            {
                string remedy = ImageName.IsValid(name) ? $"mend it and restart the daemon, or 'uffdctl image remove {name}' and add it again"
                    : $"this is no name of an image: move the file away, then 'uffdctl image remove' forgets it; {ImageName.Rule}";
                return new ImageException(ImageFault.Conflict, $"image {name}: {problem}", remedy, Errno.EINVAL);
            }
        }

        return UnknownName(name);
    }

    private static ImageException UnknownName(string name) => new(ImageFault.NotFound, $"there is no image \"{name}\"", "'uffdctl image list' has those there are", Errno.ENOENT);

    private sealed class Entry(ImageDefinition definition)
    {
        public ImageDefinition Definition { get; } = definition;

        /// <summary>Held by whoever opens its files, and by nobody who holds another lock of the registry.</summary>
        public Lock Opening { get; } = new();

        /// <summary>One reference of its own.</summary>
        public LayeredSource? Source { get; set; }
    }
}
