using System.Runtime.InteropServices;
using UffdManager.Engine.Regions;
using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>A region as state memory holds it: 128 bytes, of which the first word says whether the rest counts.</summary>
[StructLayout(LayoutKind.Explicit, Size = Size)]
internal struct RegionRecord
{
    public const int Size = 128;

    /// <summary>Where what the check is of begins, and how long it is.</summary>
    public const int CheckedFrom = 8;
    public const int CheckedBytes = 88;

    /// <summary>State in the low byte, check in the upper half: one store makes, changes or unmakes the record.</summary>
    [FieldOffset(0)] public ulong Tag;

    /// <summary>Number of the record, never used again in this memory.</summary>
    [FieldOffset(8)] public ulong Id;

    /// <summary>Number of the record that this one is a piece of: as long as that one stands, this one does not count. 0 for none.</summary>
    [FieldOffset(16)] public ulong Replaces;

    [FieldOffset(24)] public ulong Start;

    [FieldOffset(32)] public ulong End;

    [FieldOffset(40)] public long SourceOffset;

    [FieldOffset(48)] public UffdIoctls Ioctls;

    [FieldOffset(56)] public UffdRegisterModes Modes;

    [FieldOffset(64)] public ulong PageBytes;

    [FieldOffset(72)] public RegionFlags Flags;

    /// <summary>Documents: ordinal of the policy, and of source and image plus 1, 0 for none.</summary>
    [FieldOffset(76)] public int Policy;

    [FieldOffset(80)] public int Source;

    [FieldOffset(84)] public int Image;

    /// <summary>For what a later layout adds.</summary>
    [FieldOffset(88)] public ulong Spare;
}
