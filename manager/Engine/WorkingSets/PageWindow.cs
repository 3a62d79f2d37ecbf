namespace UffdManager.Engine.WorkingSets;

/// <summary>The part of a source that a region shows, in pages.</summary>
/// <param name="First">Its first page.</param>
/// <param name="End">The page after its last.</param>
internal readonly record struct PageWindow(long First, long End)
{
    public bool Contains(long page) => page >= First && page < End;
}
