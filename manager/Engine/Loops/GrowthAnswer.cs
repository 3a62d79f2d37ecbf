namespace UffdManager.Engine.Loops;

/// <summary>What a look at a client's mappings said of an address that faulted where no region is known.</summary>
internal enum GrowthAnswer
{
    /// <summary>A region has grown there by mremap(2).</summary>
    Grown,

    /// <summary>What is registered there hangs together with no known region; or nobody may look.</summary>
    Unconnected,

    /// <summary>A change was under way, and may be what was seen.</summary>
    Unsure,
}
