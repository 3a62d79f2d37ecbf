using UffdManager.Linux;

namespace UffdManager.Engine.Images;

/// <summary>
/// Which layer has which page: of each page the newest layer that has data there (SEEK_DATA), and nothing where no layer has any. Read once,
/// so that zeros are told without any system call. Immutable.
/// </summary>
internal sealed class LayerMap
{
    /// <summary>
    /// More pieces than this, in all layers together, are 200 MiB of lists and many seconds of system calls, and an image that nobody made on purpose.
    /// </summary>
    public const int MaximumRuns = 4 << 20;

    private readonly LayerRun[] _runs;

    private LayerMap(List<LayerRun> runs) => _runs = [.. runs];

    /// <summary>Pieces, over all layers.</summary>
    public int Count => _runs.Length;

    /// <summary>Bytes that some layer has.</summary>
    public long DataBytes => _runs.Sum(run => run.End - run.Start);

    /// <summary>Looks at the files; may wait for the disk.</summary>
    /// <param name="layers">From the base upwards.</param>
    /// <param name="pageBytes">A page of which a layer has any byte is that layer's; a power of two.</param>
    /// <param name="maximumRuns">Pieces that the layers may have together.</param>
    /// <exception cref="ArgumentException">A file says nothing of its holes, or there are too many.</exception>
    /// <exception cref="SyscallException">A file cannot be searched.</exception>
    public static LayerMap Read(IReadOnlyList<ImageLayer> layers, int pageBytes, int maximumRuns = MaximumRuns)
    {
        int left = maximumRuns;
        List<LayerRun> runs = ReadRuns(layers[0], 0, pageBytes, ref left);
        for (int i = 1; i < layers.Count; i++)
        {
            List<LayerRun> above = ReadRuns(layers[i], i, pageBytes, ref left);
            CheckTellsHoles(layers[i], above);
            runs = Overlay(runs, above);
        }

        return new LayerMap(runs);
    }

    /// <summary>The first run that ends behind an offset; <see cref="Count"/> when none does.</summary>
    public int FirstAfter(long offset)
    {
        int low = 0;
        int high = _runs.Length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (_runs[middle].End > offset)
            {
                high = middle;
            }
            else
            {
                low = middle + 1;
            }
        }

        return low;
    }

    public LayerRun this[int index] => _runs[index];

    /// <summary>Whether no layer has any of a range.</summary>
    public bool IsZero(long start, long end) => FirstAfter(start) is int first && (first == _runs.Length || _runs[first].Start >= end);

    /// <summary>Whether a range begins with pages that no layer has.</summary>
    /// <param name="offset">Page aligned.</param>
    /// <param name="length">Bytes, above 0.</param>
    /// <param name="end">Of the image, in whole pages.</param>
    /// <param name="run">So many bytes are such, or so many are not; at least one page, at most <paramref name="length"/>.</param>
    // A gap of less than a chunk inside data is not worth a system call of its own: it comes along with what is around it.
    public bool StartsWithZeros(long offset, long length, long end, out long run)
    {
        long limit = offset + length;
        int index = FirstAfter(offset);
        if (index == _runs.Length || _runs[index].Start > offset)
        {
            run = Math.Min(index == _runs.Length ? end : _runs[index].Start, Math.Min(limit, end)) - offset;
            return true;
        }

        long stop = _runs[index].End;
        while (++index < _runs.Length && _runs[index].Start - stop < ChunkStore.ChunkBytes)
        {
            stop = _runs[index].End;
        }

        run = Math.Min(stop, limit) - offset;
        return false;
    }

    /// <summary>Whether every page of a range is some layer's.</summary>
    public bool IsData(long start, long end)
    {
        for (int i = FirstAfter(start); i < _runs.Length && _runs[i].Start <= start; i++)
        {
            start = _runs[i].End;
            if (start >= end)
            {
                return true;
            }
        }

        return start >= end;
    }

    /// <summary>Lays the runs of a newer layer over those below it.</summary>
    internal static List<LayerRun> Overlay(List<LayerRun> below, List<LayerRun> above)
    {
        List<LayerRun> result = new(below.Count + above.Count);
        int next = 0;
        long done = 0;
        foreach (LayerRun top in above)
        {
            for (; next < below.Count && below[next].Start < top.Start; next++)
            {
                Add(result, below[next], done, top.Start);
                if (below[next].End > top.Start)
                {
                    break;
                }
            }

            result.Add(top);
            done = top.End;
            while (next < below.Count && below[next].End <= done)
            {
                next++;
            }
        }

        for (; next < below.Count; next++)
        {
            Add(result, below[next], done, long.MaxValue);
        }

        return result;
    }

    private static void Add(List<LayerRun> result, LayerRun run, long from, long to)
    {
        LayerRun cut = run with { Start = Math.Max(run.Start, from), End = Math.Min(run.End, to) };
        if (cut.Start < cut.End)
        {
            result.Add(cut);
        }
    }

    private static List<LayerRun> ReadRuns(ImageLayer layer, int index, int pageBytes, ref int left)
    {
        List<LayerRun> runs = [];
        long end = (long)PageSize.AlignUp((ulong)layer.Length, (ulong)PageSize.Base);
        long at = 0;
        while ((at = layer.SeekData(at)) >= 0 && at < layer.Length)
        {
            long hole = layer.SeekHole(at);
            long stop = hole < 0 ? layer.Length : hole;
            LayerRun run = new((long)PageSize.AlignDown((ulong)at, (ulong)pageBytes), Math.Min(end, (long)PageSize.AlignUp((ulong)stop, (ulong)pageBytes)), index);
            if (runs.Count > 0 && runs[^1].End >= run.Start)
            {
                runs[^1] = runs[^1] with { End = run.End };
            }
            else if (left-- == 0)
            {
                throw new ArgumentException(
                    $"{layer.Description} and the files below it have more than {MaximumRuns} pieces of data between their holes: make one file without holes of them", nameof(layer));
            }
            else
            {
                runs.Add(run);
            }

            at = stop;
        }

        return runs;
    }

    // In a diff a hole is a statement. A file system that keeps holes in larger units than pages, or does not tell of them, would have it say something else.
    private static void CheckTellsHoles(ImageLayer layer, List<LayerRun> runs)
    {
        if (layer.Status.BlockSize > PageSize.Base)
        {
            throw new ArgumentException(
                $"{layer.Description} cannot be a diff: its file system keeps holes in units of {layer.Status.BlockSize} bytes, so nobody can tell which pages were written; copy it to ext4, xfs, btrfs or tmpfs",
                nameof(layer));
        }

        bool isOnePiece = runs is [{ Start: 0 } only] && only.End >= layer.Length;
        if (isOnePiece && layer.Status.Blocks * 512 < layer.Length)
        {
            throw new ArgumentException(
                $"{layer.Description} cannot be a diff: it takes less room than it has bytes, and its file system does not tell where the holes are (SEEK_HOLE); copy it to ext4, xfs, btrfs or tmpfs",
                nameof(layer));
        }
    }
}
