using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <summary>
/// struct epoll_event as x86-64 has it: packed, 12 bytes. <see cref="Epoll.Wait"/> converts on the architectures that align it.
/// </summary>
[CName("struct epoll_event", Architecture = "x86_64")]
[StructLayout(LayoutKind.Sequential, Pack = 4)]
public struct EpollEvent
{
    /// <summary>What is ready.</summary>
    [CName("events")] public EpollEvents Events;

    /// <summary>The key given to <see cref="Epoll.Add"/>; never a descriptor number, which may be reused.</summary>
    [CName("data")] public ulong Key;
}

/// <summary>struct epoll_event of every other 64-bit architecture: 16 bytes.</summary>
[CName("struct epoll_event", Architecture = "aarch64")]
internal struct AlignedEpollEvent
{
    [CName("events")] public EpollEvents Events;
    [CName("data")] public ulong Key;
}
