using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Images;

/// <summary>
/// A memory file that nobody has added as an image. It is read as any file, out of the kernel's page cache, which all who serve it share; but its holes are zeros that nobody reads, and nothing
/// is read from it any more once it is not what it was.
/// </summary>
/// <remarks>
/// Whether it has changed is asked whenever something has been read by a fetch thread, and by fault loops, which copy from the page cache, ten times a second: a page that they gave in the meantime may be of after the
/// change. Fault loops ask only where the file system answers at once.
/// </remarks>
public sealed class PlainImage : PageSource
{
    private const long DefaultCheckInterval = 100_000_000;

    // Found in some 0.1 s, for which somebody waits.
    private const int MostLatePieces = 1 << 16;

    private readonly ImageLayer _layer;
    private readonly FileSource _file;
    private readonly long _end;
    private readonly bool _answersAtOnce;
    private readonly int _latePieces;
    private volatile LayerMap? _map;
    private volatile bool _hasChanged;
    private int _isSearched;
    private long _checkedAt;

    /// <summary>Takes a file over. May wait for the disk.</summary>
    /// <param name="file">Owned from now on, also when this throws.</param>
    /// <param name="description">For logs and status.</param>
    /// <exception cref="SyscallException">It cannot be examined; no descriptors or memory.</exception>
    public PlainImage(ImageLayer file, string description)
        : this(file, description, searchNow: true)
    {
    }

    private PlainImage(ImageLayer file, string description, bool searchNow, int latePieces = MostLatePieces)
    {
        ArgumentNullException.ThrowIfNull(file);
        _layer = file;
        _latePieces = latePieces;
        FileSource? contents = null;
        try
        {
            contents = new FileSource(file.Duplicate(), description);
            Status = file.Status;
            Length = file.Length;
            _end = (long)PageSize.AlignUp((ulong)Length, (ulong)PageSize.Base);
            _answersAtOnce = file.AnswersAtOnce();
            if (searchNow)
            {
                Search(LayerMap.MaximumRuns);
            }
        }
        catch
        {
            contents?.Dispose();
            file.Dispose();
            throw;
        }

        _file = contents;
    }

    /// <inheritdoc/>
    public override string Description => _file.Description;

    /// <inheritdoc/>
    public override long Length { get; }

    /// <inheritdoc/>
    public override SourceIdentity? Identity =>
        _file.Identity is null ? null : new SourceIdentity(_layer.Status.Device, _layer.Status.Inode, _layer.Status.Size, _layer.Status.ModifiedNanoseconds);

    /// <inheritdoc/>
    public override string? Location => _file.Location;

    /// <summary>Whether it was seen to be another file than it was, so that nothing is read from it any more.</summary>
    public bool HasChanged => _hasChanged;

    /// <summary>Time between two looks of fault loops, nanoseconds.</summary>
    internal long CheckInterval { get; init; } = DefaultCheckInterval;

    /// <summary>Whether it is known where its holes are.</summary>
    internal bool KnowsHoles => _map is not null;

    /// <inheritdoc/>
    private protected override IReadOnlyList<SafeFd> Descriptors => [_layer.File];

    /// <summary>
    /// Makes one without looking for its holes, which the first fetch does when it has read: a file system that is slow, or hangs, delays those who need the file, and not
    /// the manager that takes the sessions of another one over.
    /// </summary>
    /// <param name="file">Owned from now on, also when this throws.</param>
    /// <param name="description">For logs and status.</param>
    /// <param name="latePieces">Pieces of data that are looked for then: holes of a file with more of them are read like the rest.</param>
    /// <exception cref="SyscallException">It cannot be examined; no descriptors or memory.</exception>
    internal static PlainImage Unsearched(ImageLayer file, string description, int latePieces = MostLatePieces) => new(file, description, searchNow: false, latePieces);

    /// <inheritdoc/>
    public override SourceAnswer TryGet(long offset, int length, nuint scratch, out SourcePages page)
    {
        page = default;
        if (_hasChanged || IsSeenToHaveChanged())
        {
            return SourceAnswer.Slow;
        }

        return _map is { } map && offset + length <= _end && map.IsZero(offset, offset + length)
            ? SourceAnswer.Zero
            : _file.TryGet(offset, length, scratch, out page);
    }

    /// <inheritdoc/>
    public override Errno Fetch(long offset, int length, nuint buffer, out SourcePages page)
    {
        page = default;
        if (_hasChanged)
        {
            return Errno.ESTALE;
        }

        Errno errno = _file.Fetch(offset, length, buffer, out page);
        if (errno == Errno.OK)
        {
            Search(_latePieces);
        }

        Errno state = FindChange();
        if (state == Errno.ESTALE || errno == Errno.OK)
        {
            errno = state;
        }

        if (errno != Errno.OK)
        {
            page = default;
        }

        return errno;
    }

    /// <inheritdoc/>
    public override bool StartsWithZeros(long offset, long length, out long run)
    {
        run = length;
        return !_hasChanged && offset < _end && _map is { } map && map.StartsWithZeros(offset, length, _end, out run);
    }

    /// <inheritdoc/>
    public override (long Start, long End) FindData(long offset, long length) => _file.FindData(offset, length);

    /// <inheritdoc/>
    public override void WillNeed(long offset, long length) => _file.WillNeed(offset, length);

    /// <summary>Looks whether the file is what it was when it was opened. May wait for its file system.</summary>
    /// <returns>OK; ESTALE when it is not, for good; or why nobody can tell at the moment.</returns>
    public Errno FindChange()
    {
        Errno errno = _hasChanged ? Errno.ESTALE : _layer.Check();
        _hasChanged |= errno == Errno.ESTALE;
        return errno;
    }

    /// <inheritdoc/>
    private protected override LayersDocument? DescribeLayers() => LayeredSource.Describe([_layer], PageSize.Base) with { IsPlain = true };

    /// <inheritdoc/>
    protected override void Close()
    {
        _file.Dispose();
        _layer.Dispose();
    }

    private bool IsSeenToHaveChanged()
    {
        if (!_answersAtOnce)
        {
            return false;
        }

        long now = MonotonicClock.NowNanoseconds;
        if (now - Volatile.Read(ref _checkedAt) < CheckInterval)
        {
            return false;
        }

        Volatile.Write(ref _checkedAt, now);
        return FindChange() == Errno.ESTALE;
    }

    // Once, by whoever comes first; others read holes meanwhile, which is right as well, as it is for a file of which they are not known. Holes of a file that has changed are none of its.
    private void Search(int maximumPieces)
    {
        if (_map is not null || Interlocked.Exchange(ref _isSearched, 1) != 0)
        {
            return;
        }

        try
        {
            LayerMap map = LayerMap.Read([_layer], PageSize.Base, maximumPieces);
            _map = FindChange() == Errno.OK ? map : null;
        }
        catch (Exception failure) when (failure is SyscallException or ArgumentException or OutOfMemoryException)
        {
            // What is wrong with the file is for the read to say.
        }
    }
}
