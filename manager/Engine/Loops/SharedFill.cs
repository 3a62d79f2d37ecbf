namespace UffdManager.Engine.Loops;

/// <summary>What became of the attempt to fill a page of a shared image at once.</summary>
internal enum SharedFill
{
    /// <summary>It holds its contents.</summary>
    Filled,

    /// <summary>Somebody else is at it.</summary>
    Busy,

    /// <summary>Claimed by the caller, who must fetch it or end the claim.</summary>
    Slow,

    /// <summary>The image's memory cannot be had.</summary>
    NoMemory,

    /// <summary>Nobody can fill it any more: the client gets a copy of its own.</summary>
    Unfillable,
}
