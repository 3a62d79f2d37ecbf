using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <summary>
/// mmap(2) and friends: memory outside the garbage collector, page aligned, zeroed by the kernel on first touch, and owned by whoever
/// mapped it until <see cref="Unmap"/>. Addresses are plain numbers so that they can sit in native structures and cross threads.
/// </summary>
public static unsafe partial class NativePages
{
    [CName("MAP_PRIVATE")] private const int MapPrivate = 2;
    [CName("MAP_ANONYMOUS")] private const int MapAnonymous = 0x20;
    [CName("MREMAP_MAYMOVE")] private const int MayMove = 1;
    [CName("MREMAP_FIXED")] private const int MoveFixed = 2;

    /// <summary>Maps anonymous private memory; touching it costs memory, mapping it does not.</summary>
    /// <exception cref="SyscallException">ENOMEM.</exception>
    public static nuint Map(ulong bytes, PageProtection protection = PageProtection.Read | PageProtection.Write)
    {
        Errno errno = Map(null, 0, bytes, protection, MappingFlags.NoReserve, 0, out nuint address);
        return errno == Errno.OK ? address : throw new SyscallException(errno, "mmap", $"{bytes} bytes");
    }

    /// <summary>As <see cref="Map(ulong, PageProtection)"/>, but 0 when there is no room.</summary>
    public static nuint TryMap(ulong bytes) =>
        Map(null, 0, bytes, PageProtection.Read | PageProtection.Write, MappingFlags.NoReserve, 0, out nuint address) == Errno.OK ? address : 0;

    /// <summary>Maps <paramref name="fd"/> (borrowed) shared. The offset is a multiple of the page size.</summary>
    /// <exception cref="SyscallException">EACCES not opened for writing, EPERM sealed, ENOMEM.</exception>
    public static nuint MapShared(SafeFd fd, long offset, ulong length, bool writable)
    {
        PageProtection protection = PageProtection.Read | (writable ? PageProtection.Write : PageProtection.None);
        Errno errno = Map(fd, offset, length, protection, MappingFlags.Shared, 0, out nuint address);
        return errno == Errno.OK ? address : throw new SyscallException(errno, "mmap", $"{length} bytes at offset {offset}");
    }

    /// <summary>mmap(2) in full. <paramref name="fd"/> null maps anonymous memory; <paramref name="hint"/> 0 lets the kernel choose.</summary>
    public static Errno Map(
        SafeFd? fd, long offset, ulong length, PageProtection protection, MappingFlags flags, nuint hint, out nuint address)
    {
        using FdLease lease = fd?.Lease() ?? default;
        int native = (int)flags | (fd is null ? MapAnonymous : 0) | ((flags & MappingFlags.Shared) != 0 ? 0 : MapPrivate);
        nint result = Mmap(hint, (nuint)length, (int)protection, native, lease.Fd, offset);
        address = result == -1 ? 0 : (nuint)result;
        return result == -1 ? LastError.Get() : Errno.OK;
    }

    /// <summary>Unmaps.</summary>
    /// <exception cref="SyscallException">EINVAL: a defect of the caller; ENOMEM: too many mappings.</exception>
    public static void Unmap(nuint address, ulong bytes)
    {
        if (Munmap(address, (nuint)bytes) < 0)
            throw LastError.Exception("munmap", $"0x{address:x}+{bytes}");
    }

    /// <summary>madvise(2).</summary>
    public static Errno Advise(nuint address, ulong bytes, MemoryAdvice advice)
    {
        int result;
        do
            result = Madvise(address, (nuint)bytes, (int)advice);
        while (LastError.IsInterrupted(result));
        return result < 0 ? LastError.Get() : Errno.OK;
    }

    /// <summary>mprotect(2).</summary>
    public static Errno Protect(nuint address, ulong bytes, PageProtection protection) =>
        Mprotect(address, (nuint)bytes, (int)protection) < 0 ? LastError.Get() : Errno.OK;

    /// <summary>mremap(2), moving if it must, or exactly to <paramref name="target"/> when that is not 0.</summary>
    public static Errno Remap(nuint address, ulong oldBytes, ulong newBytes, nuint target, out nuint moved)
    {
        nint result = Mremap(address, (nuint)oldBytes, (nuint)newBytes, MayMove | (target == 0 ? 0 : MoveFixed), target);
        moved = result == -1 ? 0 : (nuint)result;
        return result == -1 ? LastError.Get() : Errno.OK;
    }

    /// <summary>A window of <paramref name="length"/> bytes; valid while the memory stays mapped.</summary>
    public static Span<byte> AsSpan(nuint address, int length) => new((void*)address, length);

    /// <summary>The value at <paramref name="address"/>, in place.</summary>
    public static ref T At<T>(nuint address)
        where T : unmanaged => ref Unsafe.AsRef<T>((void*)address);

    /// <summary>Zeroes <paramref name="bytes"/> bytes.</summary>
    public static void Clear(nuint address, nuint bytes) => NativeMemory.Clear((void*)address, bytes);

    [LibraryImport(Libc.Name, EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Mmap(nuint hint, nuint length, int protection, int flags, int fd, long offset);

    [LibraryImport(Libc.Name, EntryPoint = "munmap", SetLastError = true)]
    private static partial int Munmap(nuint address, nuint length);

    [LibraryImport(Libc.Name, EntryPoint = "madvise", SetLastError = true)]
    private static partial int Madvise(nuint address, nuint length, int advice);

    [LibraryImport(Libc.Name, EntryPoint = "mprotect", SetLastError = true)]
    private static partial int Mprotect(nuint address, nuint length, int protection);

    [LibraryImport(Libc.Name, EntryPoint = "mremap", SetLastError = true)]
    private static partial nint Mremap(nuint address, nuint oldLength, nuint newLength, int flags, nuint target);
}
