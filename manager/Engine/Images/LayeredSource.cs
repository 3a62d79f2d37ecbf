using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text.Json;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Images;

/// <summary>
/// A memory image in one or more files, a base and diffs upon it: of each page, what the newest file that has it says, and zeros where none has. Chunks that were
/// read stay in the <see cref="ChunkCache"/>, from whose memory UFFDIO_COPY takes them; zeros are told without reading anything.
/// </summary>
/// <remarks>
/// A chunk is read once however many ask for it at the same time: who comes first reads, the others wait on their fetch threads. Where the cache has no room, or no
/// memory can be had for it, the bytes go through the buffer of the fetch and are not kept.
/// </remarks>
public sealed partial class LayeredSource : PageSource
{
    private const int PinCountBits = 12;

    // What one answer of the cache covers at most; who wants more gets so much.
    private const int MaximumChunks = 64;

    // For the names of all files in the document for the next manager, which has 4080 bytes: what else it says of 16 files takes 2700, of the source 500.
    private const int NameBytes = 800;

    private readonly IReadOnlyList<ImageLayer> _layers;
    private readonly ChunkCache _cache;
    private readonly long _end;
    private readonly int _pageBytes;
    private long _hits;
    private long _readBytes;
    private volatile ImageLayer? _changed;

    /// <summary>Takes files over. May wait for the disk.</summary>
    /// <param name="layers">From the base upwards; owned from now on, also when this throws.</param>
    /// <param name="pageBytes">A page of which a diff has any byte is that diff's; a power of two, at least the base page.</param>
    /// <param name="cache">Where chunks are kept.</param>
    /// <param name="description">For logs and status.</param>
    /// <exception cref="ArgumentException">The files do not make an image: a diff that is shorter than what it is upon, or whose holes nobody knows.</exception>
    /// <exception cref="SyscallException">A file cannot be examined; no descriptors or memory.</exception>
    public LayeredSource(IReadOnlyList<ImageLayer> layers, int pageBytes, ChunkCache cache, string description)
        : this(layers, pageBytes, cache, description, searchNow: true)
    {
    }

    private LayeredSource(IReadOnlyList<ImageLayer> layers, int pageBytes, ChunkCache cache, string description, bool searchNow)
    {
        ArgumentNullException.ThrowIfNull(layers);
        ArgumentNullException.ThrowIfNull(cache);
        ArgumentOutOfRangeException.ThrowIfZero(layers.Count, nameof(layers));
        _layers = layers;
        _cache = cache;
        _pageBytes = pageBytes;
        Description = description;
        try
        {
            CheckLengths(layers);
            Status = layers[^1].Status;

            // What a successor is told of a long path is its end.
            Location = layers[^1].Description is ['/', ..] path ? path : FileIo.ReadDescriptorLink(layers[^1].File);
            Length = layers[^1].Length;
            Identity = IdentityOf(layers, pageBytes);
            _end = (long)PageSize.AlignUp((ulong)Length, (ulong)PageSize.Base);
            _contents = searchNow ? ImageContents.Read(layers, pageBytes, _end) : null;
        }
        catch
        {
            CloseLayers(layers);
            throw;
        }

        cache.Add(this);
    }

    /// <inheritdoc/>
    public override string Description { get; }

    /// <summary>Size of the newest file when it was opened; pages past the end are unavailable.</summary>
    public override long Length { get; }

    /// <inheritdoc/>
    public override SourceIdentity? Identity { get; }

    /// <summary>Path of the newest file.</summary>
    public override string? Location { get; }

    /// <summary>Bytes that some layer has; the rest are zeros. Null while its files have not been searched.</summary>
    public long? DataBytes => _contents?.Map.DataBytes;

    /// <summary>Times that pages were found in the cache, since the image was opened.</summary>
    public long Hits => Interlocked.Read(ref _hits);

    /// <summary>Bytes read from the files since the image was opened.</summary>
    public long ReadBytes => Interlocked.Read(ref _readBytes);

    /// <summary>The file that was seen to have changed, from which nothing is read any more; null while all is well.</summary>
    public string? ChangedFile => _changed?.Description;

    /// <summary>Whether every file is read past the page cache.</summary>
    public bool IsDirect => _layers.All(layer => layer.IsDirect);

    /// <inheritdoc/>
    private protected override IReadOnlyList<SafeFd> Descriptors => [.. _layers.Select(layer => layer.File)];

    /// <inheritdoc/>
    public override SourceAnswer TryGet(long offset, int length, nuint scratch, out SourcePages page)
    {
        page = default;
        if (offset + length > _end)
        {
            return SourceAnswer.Slow;
        }

        if (_contents is null)
        {
            return TryHitObject(offset, length, out page) ? SourceAnswer.Ready : SourceAnswer.Slow;
        }

        int first = ChunkStore.ChunkOf(offset);
        int count = ChunkStore.ChunkOf(offset + length - 1) - first + 1;
        if (Store.MayHaveZeros(first) && (count == 1 && Store.IsAllZero(first) || Map.IsZero(offset, offset + length)))
        {
            return SourceAnswer.Zero;
        }

        if (!Store.TryPin(first, count))
        {
            return TryHitObject(offset, length, out page) ? SourceAnswer.Ready : SourceAnswer.Slow;
        }

        Interlocked.Increment(ref _hits);
        page = Pinned(offset, length, first, count);
        return SourceAnswer.Ready;
    }

    /// <inheritdoc/>
    public override Errno Fetch(long offset, int length, nuint buffer, out SourcePages page) => Fetch(offset, length, buffer, s_nobody, out page);

    /// <inheritdoc/>
    public override Errno Fetch(long offset, int length, nuint buffer, Tenant payer, out SourcePages page)
    {
        page = default;
        if (offset >= _end)
        {
            return Errno.ENXIO;
        }

        int bytes = (int)Math.Min(length, _end - offset);
        if (TryHitObject(offset, bytes, out page))
        {
            return Errno.OK;
        }

        if (TrySearch() is var searched and not Errno.OK)
        {
            return searched;
        }

        int first = ChunkStore.ChunkOf(offset);
        int count = Math.Min(ChunkStore.ChunkOf(offset + bytes - 1) - first + 1, MaximumChunks);
        bytes = (int)Math.Min(bytes, ChunkStore.OffsetOf(first + count) - offset);
        Errno errno = Obtain(payer, first, count, mayEvict: true, out int leading);
        if (leading > 0 && errno != Errno.ENOMEM)
        {
            page = Pinned(offset, (int)Math.Min(bytes, ChunkStore.OffsetOf(first + leading) - offset), first, leading);
            return Errno.OK;
        }

        // Where the cache has no room; and where a chunk cannot be read, because one bad sector must not cost the pages around it.
        Store.Unpin(first, leading);
        if (errno == Errno.ENOMEM || (errno != Errno.ESTALE && bytes < Math.Min(ChunkStore.OffsetOf(first + count), _end) - ChunkStore.OffsetOf(first)))
        {
            errno = ReadInto(buffer, offset, bytes, clear: true);
            page = errno == Errno.OK ? new SourcePages(buffer, bytes) : default;
        }

        return errno;
    }

    /// <inheritdoc/>
    public override void Release(in SourcePages page)
    {
        if (page.Pin < 0)
        {
            ReleaseObject(-page.Pin);
        }
        else if (page.Pin != 0)
        {
            Store.Unpin((int)(page.Pin >> PinCountBits), (int)(page.Pin & ((1 << PinCountBits) - 1)));
        }
    }

    /// <inheritdoc/>
    public override bool StartsWithZeros(long offset, long length, out long run)
    {
        run = length;
        return offset < _end && _contents is not null && Map.StartsWithZeros(offset, length, _end, out run);
    }

    /// <summary>Looks whether the files are what they were when they were opened, as far as their file systems answer. May wait for one.</summary>
    /// <returns>The first that is not, from which nothing is read any more from now on; null when all is well.</returns>
    public string? FindChange()
    {
        _changed ??= _layers.FirstOrDefault(layer => layer.Check() == Errno.ESTALE);
        return ChangedFile;
    }

    internal bool TryAddReference()
    {
        try
        {
            AddReference();
            return true;
        }
        catch (ObjectDisposedException)
        {
            return false;
        }
    }

    /// <inheritdoc/>
    private protected override LayersDocument? DescribeLayers() => Describe(_layers, _pageBytes);

    /// <inheritdoc/>
    protected override void Close()
    {
        _cache.Forget(this);
        _contents?.Dispose();
        CloseLayers(_layers);
    }

    // That of the newest file; upon others, or in other units, it has other contents.
    private static SourceIdentity IdentityOf(IReadOnlyList<ImageLayer> layers, int pageBytes)
    {
        FileStatus newest = layers[^1].Status;
        if (layers.Count == 1)
        {
            return new SourceIdentity(newest.Device, newest.Inode, newest.Size, newest.ModifiedNanoseconds);
        }

        byte[] digest = SHA256.HashData(JsonSerializer.SerializeToUtf8Bytes(Describe(layers, pageBytes), StateJson.Default.LayersDocument));
        return new SourceIdentity(newest.Device, newest.Inode, newest.Size, BinaryPrimitives.ReadInt64LittleEndian(digest));
    }

    internal static LayersDocument Describe(IReadOnlyList<ImageLayer> layers, int pageBytes) => new(
        pageBytes,
        [.. layers.Select(layer => new LayerDocument(
            LogText.Tail(layer.Description, NameBytes / layers.Count), layer.IsDirect, layer.Status.Device, layer.Status.Inode, layer.Status.Size, layer.Status.ModifiedNanoseconds))]);

    private static void CheckLengths(IReadOnlyList<ImageLayer> layers)
    {
        for (int i = 1; i < layers.Count; i++)
        {
            if (layers[i].Length < layers[i - 1].Length)
            {
                throw new ArgumentException(
                    $"{layers[i].Description} has {layers[i].Length} bytes and is a diff upon {layers[i - 1].Description}, which has {layers[i - 1].Length}: a diff is not shorter, was it truncated?",
                    nameof(layers));
            }
        }
    }

    private static void CloseLayers(IReadOnlyList<ImageLayer> layers)
    {
        foreach (ImageLayer layer in layers)
        {
            layer.Dispose();
        }
    }

    private SourcePages Pinned(long offset, int length, int first, int count) =>
        new(Store.Address + (nuint)offset, length) { Pin = ((long)first << PinCountBits) | (uint)count };
}
