using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <summary>process_madvise(2) and process_vm_readv(2): another process's memory.</summary>
public static unsafe partial class ProcessMemory
{
    /// <summary>
    /// Gives advice on a range of that process (5.10; needs ptrace rights). Other processes accept COLD, PAGEOUT, WILLNEED and COLLAPSE;
    /// what discards is refused (EINVAL).
    /// </summary>
    /// <param name="pidFd">The process.</param>
    /// <param name="start">First byte, page aligned.</param>
    /// <param name="len">Bytes.</param>
    /// <param name="advice">A MADV_ constant, see <see cref="MemoryAdvice"/>.</param>
    /// <param name="done">Bytes advised; may be fewer than asked even when OK.</param>
    public static Errno ProcessMadvise(SafePidFd pidFd, ulong start, ulong len, int advice, out long done)
    {
        ArgumentNullException.ThrowIfNull(pidFd);
        using FdLease lease = pidFd.Lease();
        IoVector range = new() { Base = (nuint)start, Length = (nuint)len };
        nint result;
        do
            result = Libc.Syscall(SyscallNumber.ProcessMadvise, lease.Fd, (nint)(&range), 1, advice, 0, 0);
        while (LastError.IsInterrupted(result));
        done = Math.Max(0, result);
        return result < 0 ? LastError.Get() : Errno.OK;
    }

    /// <summary>
    /// Reads memory of <paramref name="pid"/>. A page that is missing under a userfaultfd faults there, and the caller sleeps until it is
    /// served: never call it on a thread that serves faults.
    /// </summary>
    /// <returns>EFAULT nothing readable at the address, ESRCH gone, EPERM without ptrace rights.</returns>
    public static Errno ReadRemote(int pid, ulong address, Span<byte> into, out int read)
    {
        fixed (byte* buffer = into)
        {
            IoVector local = new() { Base = (nuint)buffer, Length = (nuint)into.Length };
            IoVector remote = new() { Base = (nuint)address, Length = (nuint)into.Length };
            nint result;
            do
                result = ProcessVmReadv(pid, &local, 1, &remote, 1, 0);
            while (LastError.IsInterrupted(result));
            read = (int)Math.Max(0, result);
            return result < 0 ? LastError.Get() : Errno.OK;
        }
    }

    [LibraryImport(Libc.Name, EntryPoint = "process_vm_readv", SetLastError = true)]
    private static partial nint ProcessVmReadv(int pid, IoVector* local, ulong localCount, IoVector* remote, ulong remoteCount, ulong flags);
}
