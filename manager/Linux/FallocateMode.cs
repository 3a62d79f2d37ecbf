namespace UffdManager.Linux;

/// <summary>Modes of fallocate(2).</summary>
[Flags]
public enum FallocateMode
{
    /// <summary>Allocate, growing the file.</summary>
    Allocate = 0,

    /// <summary>Leave the file's length.</summary>
    [CName("FALLOC_FL_KEEP_SIZE")] KeepSize = 1,

    /// <summary>Free the range; must go with <see cref="KeepSize"/>.</summary>
    [CName("FALLOC_FL_PUNCH_HOLE")] PunchHole = 2,

    /// <summary>Zero the range.</summary>
    [CName("FALLOC_FL_ZERO_RANGE")] ZeroRange = 0x10,
}
