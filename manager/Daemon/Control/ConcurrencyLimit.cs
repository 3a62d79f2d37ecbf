namespace UffdManager.Daemon.Control;

/// <summary>Bounds how many requests of a costly kind run at a time.</summary>
/// <param name="what">In the plural, for the answer to those that are too many.</param>
/// <param name="limit">How many may run.</param>
internal sealed class ConcurrencyLimit(string what, int limit) : IDisposable
{
    private readonly SemaphoreSlim _free = new(limit, limit);

    /// <summary>Takes a place; dispose the result to give it back.</summary>
    /// <exception cref="ProblemException">None is free.</exception>
    public IDisposable Enter() => _free.Wait(0)
        ? new Place(_free)
        : throw new ProblemException(ProblemKind.Busy, $"{limit} {what} are running, which is the limit", "ask again later, or end one of them");

    public void Dispose() => _free.Dispose();

    private sealed class Place(SemaphoreSlim free) : IDisposable
    {
        private SemaphoreSlim? _free = free;

        public void Dispose() => Interlocked.Exchange(ref _free, null)?.Release();
    }
}
