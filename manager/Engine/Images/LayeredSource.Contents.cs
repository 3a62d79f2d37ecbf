using UffdManager.Linux;

namespace UffdManager.Engine.Images;

/// <content>Searching the files, at once or when the first page is wanted.</content>
public sealed partial class LayeredSource
{
    // Guards the two fields below it; no file is touched under it.
    private readonly object _searching = new();
    private bool _isSearching;
    private int _searches;
    private Errno _searched;
    private volatile ImageContents? _contents;

    /// <summary>Memory of the chunks. Only for whoever has a page of it, or has brought one.</summary>
    internal ChunkStore Store => _contents!.Store;

    private LayerMap Map => _contents!.Map;

    /// <summary>
    /// Makes an image without searching its files, which the first fetch does: a file system that is slow, or hangs, delays those who need the image, and not
    /// the manager that takes the sessions of another one over.
    /// </summary>
    /// <inheritdoc cref="LayeredSource(IReadOnlyList{ImageLayer}, int, ChunkCache, string)"/>
    internal static LayeredSource Unsearched(IReadOnlyList<ImageLayer> layers, int pageBytes, ChunkCache cache, string description) =>
        new(layers, pageBytes, cache, description, searchNow: false);

    // On fetch threads. Who comes first searches, the others wait for what it finds; when it fails they fail with it, and the next attempt searches again.
    private Errno TrySearch()
    {
        if (_contents is not null)
        {
            return Errno.OK;
        }

        lock (_searching)
        {
            int before = _searches;
            while (_isSearching)
            {
                Monitor.Wait(_searching);
            }

            if (_contents is not null || _searches != before)
            {
                return _contents is null ? _searched : Errno.OK;
            }

            _isSearching = true;
        }

        Errno errno = Errno.EIO;
        ImageContents? found = null;
        try
        {
            (errno, found) = Search();
        }
        catch (SyscallException failure)
        {
            errno = failure.Errno;
        }
        catch (OutOfMemoryException)
        {
            errno = Errno.ENOMEM;
        }
        catch (ArgumentException)
        {
            // It was in order when the manager before had opened it: a file system that says something else now is one that fails.
        }
        finally
        {
            lock (_searching)
            {
                _contents = found;
                _searched = errno;
                _searches++;
                _isSearching = false;
                Monitor.PulseAll(_searching);
            }
        }

        return errno;
    }

    // Holes of a file that has changed since it was opened are no zeros of the image.
    private (Errno Errno, ImageContents? Found) Search()
    {
        if (FindChange() is not null)
        {
            return (Errno.ESTALE, null);
        }

        ImageContents found = ImageContents.Read(_layers, _pageBytes, _end);
        foreach (ImageLayer layer in _layers)
        {
            Errno errno = layer.Check();
            if (errno != Errno.OK)
            {
                _changed ??= errno == Errno.ESTALE ? layer : null;
                found.Dispose();
                return (errno, null);
            }
        }

        return (Errno.OK, found);
    }
}
