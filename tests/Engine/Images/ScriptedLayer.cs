using UffdManager.Engine.Images;
using UffdManager.Linux;
using UffdManager.TestSupport;

namespace UffdManager.Engine.Tests.Images;

/// <summary>A real file whose reads can be held and made to fail.</summary>
internal sealed class ScriptedLayer(SafeFile file, string description) : ImageLayer(file, description, isDirect: false)
{
    private readonly ManualResetEventSlim _gate = new(initialState: true);
    private int _reads;
    private int _failures;
    private int _searches;
    private long _bytes;

    public int Reads => Volatile.Read(ref _reads);

    /// <summary>Asked for by reads that succeeded.</summary>
    public long Bytes => Interlocked.Read(ref _bytes);

    public Errno Failure { get; set; } = Errno.EIO;

    /// <summary>Times that the file was searched from its beginning.</summary>
    public int Searches => Volatile.Read(ref _searches);

    /// <summary>So many searches fail.</summary>
    public int FailingSearches { get; set; }

    /// <summary>Where the device has a bad sector; -1 for nowhere.</summary>
    public long BadSector { get; set; } = -1;

    /// <summary>What is said instead of whether the file has changed, once.</summary>
    public Errno NextCheck { get; set; }

    /// <summary>What the kernel was told of, in the order in which it was.</summary>
    public List<(long Offset, long Length)> Announced { get; } = [];

    /// <summary>From now on reads and searches hang until <see cref="Release"/>.</summary>
    public void Hold() => _gate.Reset();

    public void Release() => _gate.Set();

    public void FailNext(int count) => Volatile.Write(ref _failures, count);

    public void WaitForReads(int count) => Eventually.True(() => Reads >= count, $"{count} reads to begin");

    internal override Errno Read(nuint buffer, int length, long offset)
    {
        Interlocked.Increment(ref _reads);
        _gate.Wait();
        if (Volatile.Read(ref _failures) > 0)
        {
            Interlocked.Decrement(ref _failures);
            return Failure;
        }

        if (BadSector >= offset && BadSector < offset + length)
        {
            return Errno.EIO;
        }

        Interlocked.Add(ref _bytes, length);
        return base.Read(buffer, length, offset);
    }

    internal override Errno Check()
    {
        Errno errno = NextCheck;
        NextCheck = Errno.OK;
        return errno == Errno.OK ? base.Check() : errno;
    }

    internal override void WillNeed(long offset, long length)
    {
        lock (Announced)
        {
            Announced.Add((offset, length));
        }

        base.WillNeed(offset, length);
    }

    internal override long SeekData(long from)
    {
        if (from == 0)
        {
            Interlocked.Increment(ref _searches);
            _gate.Wait();
            if (FailingSearches > 0)
            {
                FailingSearches--;
                throw new SyscallException(Failure, "lseek", Description);
            }
        }

        return base.SeekData(from);
    }

    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        _gate.Dispose();
    }
}
