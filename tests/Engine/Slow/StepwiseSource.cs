using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine.Tests.Slow;

/// <summary>A source whose fetches return one at a time, each when told.</summary>
internal sealed class StepwiseSource : PageSource
{
    private readonly SemaphoreSlim _permits = new(0);
    private readonly Lock _lock = new();
    private int _begun;
    private int _done;
    private int _most;
    private int _returned;

    public override string Description => "stepwise";

    public override long Length => long.MaxValue;

    public int Begun => Volatile.Read(ref _begun);

    /// <summary>Fetches that have begun, less those that were told to return.</summary>
    public int Running => Begun - Volatile.Read(ref _done);

    public int MostRunning => Volatile.Read(ref _most);

    public void Step()
    {
        Interlocked.Increment(ref _done);
        _permits.Release();
    }

    public void Open() => _permits.Release(1_000_000);

    public override SourceAnswer TryGet(long offset, int length, nuint scratch, out SourcePages page)
    {
        page = default;
        return SourceAnswer.Slow;
    }

    public override Errno Fetch(long offset, int length, nuint buffer, out SourcePages page)
    {
        int running;
        lock (_lock)
        {
            _begun++;
            running = _begun - _returned;
            _most = Math.Max(_most, running);
        }

        _permits.Wait();
        lock (_lock)
            _returned++;
        page = new SourcePages(buffer, length);
        return Errno.OK;
    }

    protected override void Close()
    {
    }
}
