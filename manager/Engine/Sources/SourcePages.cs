namespace UffdManager.Engine.Sources;

/// <summary>Bytes that a source has put in memory. Whoever got them gives them back with <see cref="PageSource.Release"/>.</summary>
/// <param name="Address">Address in this process.</param>
/// <param name="Length">Bytes, a multiple of the page size.</param>
public readonly record struct SourcePages(nuint Address, int Length)
{
    /// <summary>What the source must be told again when the bytes are not needed any more; 0 for nothing.</summary>
    internal long Pin { get; init; }
}
