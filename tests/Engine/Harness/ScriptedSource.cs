using UffdManager.Engine.Sources;
using UffdManager.Linux;
using UffdManager.TestSupport;

namespace UffdManager.Engine.Tests.Harness;

/// <summary>A source that is slow, fails or falls short when told to. Each of its pages is filled with a byte of its own, never 0.</summary>
public sealed class ScriptedSource(long length, byte seed) : PageSource
{
    private readonly ManualResetEventSlim _gate = new(initialState: true);
    private int _entered;
    private int _left;
    private int _failures;
    private volatile bool _forGood;

    public override string Description => $"scripted {seed}";

    public override long Length => length;

    /// <summary>What it is known by; null for nothing.</summary>
    public SourceIdentity? KnownAs { get; set; }

    public override SourceIdentity? Identity => KnownAs;

    /// <summary>What failing attempts say.</summary>
    public Errno Failure { get; set; } = Errno.EIO;

    /// <summary>What fetches throw instead of an answer; null for nothing.</summary>
    public Exception? Thrown { get; set; }

    /// <summary>Pages of one answer; the rest of what was asked for is left out.</summary>
    public int MostPages { get; set; } = int.MaxValue;

    /// <summary>Whether the bytes are in memory, so that the fault loop gets them without a fetch.</summary>
    public bool InMemory { get; set; }

    /// <summary>Says where a range has anything but zeros, as <see cref="PageSource.FindData"/>; counted and held like a fetch. Null: everywhere.</summary>
    public Func<long, long, (long Start, long End)>? Data { get; set; }

    /// <summary>Fetches begun.</summary>
    public int Entered => Volatile.Read(ref _entered);

    /// <summary>Fetches that have returned.</summary>
    public int Left => Volatile.Read(ref _left);

    /// <summary>The byte that the page at an offset is filled with.</summary>
    public byte ByteOf(long offset) => (byte)(1 + ((seed * 53) + (offset / PageSize.Base)) % 255);

    /// <summary>From now on fetches hang until <see cref="Release"/>.</summary>
    public void Hold() => _gate.Reset();

    public void Release() => _gate.Set();

    /// <summary>The next so many fetches fail.</summary>
    public void FailNext(int count) => Volatile.Write(ref _failures, count);

    public void FailAlways() => FailNext(int.MaxValue);

    public void WaitForFetches(int count) => Eventually.True(() => Entered >= count, $"{count} fetches to begin");

    /// <summary>At the end of a test: nothing hangs any more.</summary>
    public void ReleaseForGood()
    {
        _forGood = true;
        Release();
    }

    public override SourceAnswer TryGet(long offset, int length, nuint scratch, out SourcePages page)
    {
        page = default;
        if (!InMemory)
            return SourceAnswer.Slow;
        page = Answer(offset, length, scratch);
        return SourceAnswer.Ready;
    }

    public override Errno Fetch(long offset, int length, nuint buffer, out SourcePages page)
    {
        Interlocked.Increment(ref _entered);
        _gate.Wait();
        page = default;
        if (Thrown is { } failure && !_forGood)
            throw failure;
        Errno errno = Errno.OK;
        if (!_forGood && Volatile.Read(ref _failures) > 0)
        {
            Interlocked.Decrement(ref _failures);
            errno = Failure;
        }
        else
        {
            page = Answer(offset, length, buffer);
        }

        Interlocked.Increment(ref _left);
        return errno;
    }

    public override (long Start, long End) FindData(long offset, long length)
    {
        if (Data is null)
            return base.FindData(offset, length);
        Interlocked.Increment(ref _entered);
        _gate.Wait();
        return Data(offset, length);
    }

    protected override void Close()
    {
    }

    private SourcePages Answer(long offset, int length, nuint buffer)
    {
        int bytes = Math.Min(length, MostPages * (long)PageSize.Base is long most and < int.MaxValue ? (int)most : int.MaxValue);
        for (int at = 0; at < bytes; at += PageSize.Base)
            NativePages.AsSpan(buffer + (nuint)at, PageSize.Base).Fill(ByteOf(offset + at));
        return new SourcePages(buffer, bytes);
    }
}
