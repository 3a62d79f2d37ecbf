namespace UffdManager.Engine.Sources;

/// <summary>Bytes that a source has put in memory.</summary>
/// <param name="Address">Address in this process.</param>
/// <param name="Length">Bytes, a multiple of the page size.</param>
public readonly record struct SourcePages(nuint Address, int Length);
