using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <summary>
/// One message of a userfaultfd, exactly <c>struct uffd_msg</c>: 32 bytes, of which <see cref="Event"/> says which fields count.
/// A fork message owns a descriptor: whoever reads the message adopts it, or it leaks.
/// </summary>
[CName("struct uffd_msg")]
[StructLayout(LayoutKind.Explicit, Size = 32)]
public struct UffdMessage
{
    /// <summary>What happened.</summary>
    [FieldOffset(0)][CName("event")] public UffdEventKind Event;

    /// <summary>Reserved by the kernel, which writes 0: whoever keeps a message may note here how far he is with it.</summary>
    [FieldOffset(1)][CName("reserved1")] public byte Step;

    /// <summary>Reserved by the kernel likewise, which writes 0: for a number that belongs to <see cref="Step"/>.</summary>
    [FieldOffset(4)][CName("reserved3")] public uint Note;

    /// <summary>PageFault: the kind of access.</summary>
    [FieldOffset(8)][CName("arg.pagefault.flags")] public UffdFaultFlags Flags;

    /// <summary>PageFault: the address, rounded down to the page unless ExactAddress was asked for.</summary>
    [FieldOffset(16)][CName("arg.pagefault.address")] public ulong Address;

    /// <summary>PageFault: the thread, with the ThreadId feature, in its own pid namespace; else 0.</summary>
    [FieldOffset(24)][CName("arg.pagefault.feat.ptid")] public uint ThreadId;

    /// <summary>Fork: the child's userfaultfd in this process.</summary>
    [FieldOffset(8)][CName("arg.fork.ufd")] public int ForkFd;

    /// <summary>Remap: the old start.</summary>
    [FieldOffset(8)][CName("arg.remap.from")] public ulong From;

    /// <summary>Remap: the new start.</summary>
    [FieldOffset(16)][CName("arg.remap.to")] public ulong To;

    /// <summary>Remap: bytes moved.</summary>
    [FieldOffset(24)][CName("arg.remap.len")] public ulong Length;

    /// <summary>Remove and Unmap: the first byte.</summary>
    [FieldOffset(8)][CName("arg.remove.start")] public ulong Start;

    /// <summary>Remove and Unmap: the byte after the last.</summary>
    [FieldOffset(16)][CName("arg.remove.end")] public ulong End;
}
