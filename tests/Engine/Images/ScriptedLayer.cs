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

        Interlocked.Add(ref _bytes, length);
        return base.Read(buffer, length, offset);
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
