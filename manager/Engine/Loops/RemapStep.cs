namespace UffdManager.Engine.Loops;

/// <summary>How far a remap event has been taken in; noted in the message itself.</summary>
internal static class RemapStep
{
    /// <summary>It was read.</summary>
    public const byte Read = 0;

    /// <summary>What lay where it arrives is set aside, and that is on record.</summary>
    public const byte PlaceIsFree = 1;

    /// <summary>Pages and regions are at their new place; the old one may be changed already.</summary>
    public const byte Moved = 2;

    /// <summary>Nothing is left to be done.</summary>
    public const byte Done = 3;
}
