namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// Keeps traces for later runs. Called on threads of the pool, one call at a time for each key; may wait for a disk. Never throws: what cannot be kept is
/// learnt again.
/// </summary>
public interface ITraceStore
{
    /// <summary>What was kept for a key, or for an earlier state of its file; null for nothing.</summary>
    /// <param name="key">Names the file by device and inode; that the rest agrees is the engine's to check.</param>
    /// <param name="source">Where the file is, see <see cref="Sources.PageSource.Location"/>.</param>
    byte[]? TryLoad(in TraceKey key, string? source);

    /// <summary>Keeps a trace in place of what was kept before.</summary>
    /// <param name="key">What it is of.</param>
    /// <param name="source">Where the file is, see <see cref="Sources.PageSource.Location"/>.</param>
    /// <param name="trace">Opaque.</param>
    void Save(in TraceKey key, string? source, ReadOnlySpan<byte> trace);

    /// <summary>Keeps nothing for a key any more.</summary>
    /// <param name="key">What was kept.</param>
    /// <param name="source">Where the file is, see <see cref="Sources.PageSource.Location"/>.</param>
    /// <returns>Whether anything was kept.</returns>
    bool Forget(in TraceKey key, string? source);

    /// <summary>What was loaded is not used.</summary>
    /// <param name="key">What was asked for.</param>
    /// <param name="source">Where the file is, see <see cref="Sources.PageSource.Location"/>.</param>
    /// <param name="reason">Why, in words for an operator.</param>
    void Rejected(in TraceKey key, string? source, string reason);

    /// <summary>Planning or learning failed for a reason that nobody has foreseen, and was given up.</summary>
    /// <param name="key">Of which pages.</param>
    /// <param name="source">Where the file is, see <see cref="Sources.PageSource.Location"/>.</param>
    /// <param name="failure">The reason.</param>
    void Failed(in TraceKey key, string? source, Exception failure);
}
