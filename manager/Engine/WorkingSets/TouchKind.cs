namespace UffdManager.Engine.WorkingSets;

/// <summary>What a first touch is to a replay.</summary>
internal enum TouchKind
{
    /// <summary>There is no replay.</summary>
    Recorded,

    /// <summary>It does not know the page.</summary>
    Missed,

    /// <summary>It was going to install the page, and came too late.</summary>
    Late,

    /// <summary>It had left the page out to see this.</summary>
    Probed,
}
