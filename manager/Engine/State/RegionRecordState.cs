namespace UffdManager.Engine.State;

/// <summary>What a region's record means.</summary>
internal enum RegionRecordState : byte
{
    /// <summary>Nothing: the place is free.</summary>
    Free = 0,

    /// <summary>The client has asked for it. Whether the kernel knows of it is not known: a successor asks the kernel again.</summary>
    Wanted = 1,

    /// <summary>It is registered.</summary>
    Standing = 2,

    /// <summary>It has moved to where only an event that is still to come will tell; recorded at the addresses of what is set aside.</summary>
    Aside = 3,
}
