using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <summary>The few C library entries that several facilities share; what only one facility needs is declared in its own file.</summary>
internal static unsafe partial class Libc
{
    public const string Name = "libc";

    [CName("F_DUPFD_CLOEXEC")] public const int F_DUPFD_CLOEXEC = 1030;
    [CName("F_GETFL")] public const int F_GETFL = 3;
    [CName("F_SETFL")] public const int F_SETFL = 4;
    [CName("O_NONBLOCK")] public const int O_NONBLOCK = 0x800;
    [CName("O_CLOEXEC")] public const int O_CLOEXEC = 0x80000;
    [CName("POLLIN")] public const short POLLIN = 1;
    [CName("POLLOUT")] public const short POLLOUT = 4;
    [CName("AT_FDCWD")] public const int AT_FDCWD = -100;
    [CName("AT_EMPTY_PATH")] public const int AT_EMPTY_PATH = 0x1000;

    [LibraryImport(Name, EntryPoint = "close", SetLastError = true)]
    public static partial int Close(int fd);

    [LibraryImport(Name, EntryPoint = "fcntl", SetLastError = true)]
    public static partial int Fcntl(int fd, int command, nint argument);

    [LibraryImport(Name, EntryPoint = "ioctl", SetLastError = true)]
    public static partial int Ioctl(int fd, nuint request, void* argument);

    [LibraryImport(Name, EntryPoint = "read", SetLastError = true)]
    public static partial nint Read(int fd, void* buffer, nuint count);

    [LibraryImport(Name, EntryPoint = "write", SetLastError = true)]
    public static partial nint Write(int fd, void* buffer, nuint count);

    [LibraryImport(Name, EntryPoint = "preadv2", SetLastError = true)]
    public static partial nint Preadv2(int fd, IoVector* vectors, int count, long offset, int flags);

    [LibraryImport(Name, EntryPoint = "poll", SetLastError = true)]
    public static partial int Poll(PollEntry* entries, ulong count, int timeoutMilliseconds);

    [LibraryImport(Name, EntryPoint = "syscall", SetLastError = true)]
    public static partial nint Syscall(nint number, nint a, nint b, nint c, nint d, nint e, nint f);
}

/// <summary>struct iovec.</summary>
[CName("struct iovec")]
internal struct IoVector
{
    [CName("iov_base")] public nuint Base;
    [CName("iov_len")] public nuint Length;
}

/// <summary>struct pollfd.</summary>
[CName("struct pollfd")]
internal struct PollEntry
{
    [CName("fd")] public int Fd;
    [CName("events")] public short Events;
    [CName("revents")] public short Returned;
}

/// <summary>struct timespec of the 64-bit ABIs.</summary>
[CName("struct timespec")]
internal struct TimeSpec
{
    [CName("tv_sec")] public long Seconds;
    [CName("tv_nsec")] public long Nanoseconds;

    public static TimeSpec FromNanoseconds(long nanoseconds) =>
        new() { Seconds = nanoseconds / 1_000_000_000, Nanoseconds = nanoseconds % 1_000_000_000 };
}
