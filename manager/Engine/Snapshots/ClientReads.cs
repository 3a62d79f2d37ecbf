using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>
/// What reads of a client's memory may have left behind where the client has taken it away meanwhile. Belongs to the fault loop of its sessions, but for what says otherwise; owns the page map.
/// </summary>
/// <remarks>
/// <para>Whoever reads through /proc/PID/mem has the kernel put a page where none is, if nobody is registered there. A thread of the client unmaps a range, another one maps the same addresses anew, and a read that
/// was meant for the memory before puts zeros there. UFFDIO_REGISTER keeps what is there: they would stand in the place of what the source has, for good.</para>
/// <para>So every range that goes while a snapshot is taken is noted. A range that comes there is registered only when no read is under way, and not when pages are there already. Nothing is missed:
/// a read that can meet the new mapping began before the loop took the unmapping in, or behind that; the former is waited for, the latter does not come about, since the range had been read, or else the snapshot has failed
/// by then, which is looked at between <see cref="Enter"/> and the read. And the event of an unmapping has been taken in when the registration of what was mapped there later is.</para>
/// </remarks>
/// <param name="pagemap">/proc/PID/pagemap of the client; null where it cannot be told what is there.</param>
internal sealed class ClientReads(SafeFile? pagemap) : IDisposable
{
    private const int MostRanges = 64;

    private readonly List<(ulong Start, ulong End)> _gone = [];
    private int _underWay;
    private int _snapshots;

    /// <summary>Whether a read is under way.</summary>
    public bool AreUnderWay => Volatile.Read(ref _underWay) != 0;

    /// <summary>Whether there is nothing that a registration has to heed.</summary>
    public bool IsEmpty => _gone.Count == 0;

    /// <summary>Whether no snapshot is taken, and nothing can come to be heeded.</summary>
    public bool IsOver => _snapshots == 0;

    /// <summary>Before a read, and before the look whether there is still to be one; for the reader.</summary>
    public void Enter() => Interlocked.Increment(ref _underWay);

    /// <summary>After it.</summary>
    public void Leave() => Interlocked.Decrement(ref _underWay);

    /// <summary>The client has unmapped, moved or unregistered a range.</summary>
    public void NoteGone(ulong start, ulong end)
    {
        if (_snapshots > 0)
        {
            Add(start, end);
        }
    }

    /// <summary>A snapshot begins.</summary>
    /// <param name="earlier">What there is of the same memory, of snapshots that are over, or of one of another session that is being taken.</param>
    /// <returns>What heeds it from here on: this, or the other one, which has come to own what this is.</returns>
    public ClientReads Join(ClientReads? earlier)
    {
        if (earlier?._snapshots > 0)
        {
            earlier._snapshots++;
            Dispose();
            return earlier;
        }

        _ = earlier?.With(this);
        _snapshots++;
        return this;
    }

    /// <summary>A snapshot reads nothing any more. After the last one, where no page is now, whatever comes is the client's own.</summary>
    /// <returns>Whether there is nothing left to heed, and nobody who might leave something.</returns>
    public bool Close()
    {
        _snapshots = Math.Max(0, _snapshots - 1);
        if (_snapshots > 0)
        {
            return false;
        }

        _gone.RemoveAll(range => !HavePagesIn(range.Start, range.End));
        return IsEmpty;
    }

    /// <summary>What is to be heeded when there are two for the same memory: the other one, if there is one, with what this one has.</summary>
    public ClientReads With(ClientReads? other)
    {
        if (other is null || other == this)
        {
            return this;
        }

        _gone.ForEach(range => other.Add(range.Start, range.End));
        Dispose();
        return other;
    }

    /// <summary>What a forked child has to heed, whose memory is a copy; null for nothing. Of the child's pages nothing is known, so that each range counts as having some.</summary>
    public ClientReads? ForChild()
    {
        if (IsEmpty)
        {
            return null;
        }

        ClientReads copy = new(pagemap: null);
        copy._gone.AddRange(_gone);
        return copy;
    }

    /// <summary>Whether a range lies where some went.</summary>
    public bool Touch(ulong start, ulong end) => _gone.Exists(range => range.Start < end && start < range.End);

    /// <summary>Whether some page is there, in what lies where a range went. Where the kernel does not tell (before 6.7) it counts as being so.</summary>
    public bool HavePages(ulong start, ulong end) =>
        _gone.Exists(range => range.Start < end && start < range.End && HavePagesIn(Math.Max(range.Start, start), Math.Min(range.End, end)));

    /// <summary>What lies there now has been looked at. What is left of ranges that reach beyond goes on being heeded.</summary>
    public void Forget(ulong start, ulong end)
    {
        (ulong Start, ulong End)[] touched = [.. _gone.Where(range => range.Start < end && start < range.End)];
        _gone.RemoveAll(range => range.Start < end && start < range.End);
        foreach ((ulong from, ulong to) in touched)
        {
            if (from < start)
            {
                Add(from, start);
            }

            if (end < to)
            {
                Add(end, to);
            }
        }
    }

    public void Dispose()
    {
        _gone.Clear();
        pagemap?.Dispose();
    }

    private bool HavePagesIn(ulong start, ulong end)
    {
        if (pagemap is null)
        {
            return true;
        }

        Span<PageRegion> found = stackalloc PageRegion[1];
        PagemapScanRequest request = new()
        {
            Start = start,
            End = end,

            // Neighbours would be one answer, and the walk over them as long as there are any.
            MaxPages = 1,
            AnyOf = PageCategories.Present | PageCategories.Swapped,
            Returned = PageCategories.Present | PageCategories.Swapped,
        };
        return PagemapScan.Scan(pagemap, request, found, out int count, out _) != Errno.OK || count > 0;
    }

    private void Add(ulong start, ulong end)
    {
        _gone.Add((start, end));
        if (_gone.Count <= MostRanges)
        {
            return;
        }

        // To heed what lies between the two nearest costs a registration that has to be asked for again, at worst.
        _gone.Sort();
        int nearest = 0;
        for (int i = 1; i + 1 < _gone.Count; i++)
        {
            nearest = GapBehind(i) < GapBehind(nearest) ? i : nearest;
        }

        _gone[nearest] = (_gone[nearest].Start, Math.Max(_gone[nearest].End, _gone[nearest + 1].End));
        _gone.RemoveAt(nearest + 1);
    }

    private ulong GapBehind(int index) => _gone[index].End >= _gone[index + 1].Start ? 0 : _gone[index + 1].Start - _gone[index].End;
}
