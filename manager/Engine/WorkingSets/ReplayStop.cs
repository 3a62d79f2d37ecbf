namespace UffdManager.Engine.WorkingSets;

/// <summary>Why a replay ended before everything was installed.</summary>
internal enum ReplayStop
{
    /// <summary>It did not.</summary>
    None,

    /// <summary>The policy allows no more bytes or time.</summary>
    Limit,

    /// <summary>The run needs other pages.</summary>
    Useless,

    /// <summary>The kernel has no memory for more, or the source fails: for the faults to find out.</summary>
    Failed,
}
