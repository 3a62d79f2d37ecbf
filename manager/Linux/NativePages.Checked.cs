using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <content>Copying into memory that may turn out not to be there.</content>
public static unsafe partial class NativePages
{
    /// <summary>
    /// Copies within this process by a system call (process_vm_writev on itself), so that a target page that cannot be had, because a memfd's
    /// file system is full or a hole was punched into it, is an errno and not a SIGBUS.
    /// </summary>
    /// <returns>OK; EFAULT or ENOMEM when not everything could be written.</returns>
    public static Errno CopyChecked(nuint target, nuint source, nuint bytes)
    {
        IoVector from = new() { Base = source, Length = bytes };
        IoVector to = new() { Base = target, Length = bytes };
        nint written = WriteToProcess(Environment.ProcessId, &from, 1, &to, 1, 0);
        if (written < 0)
            return LastError.Get();
        return (nuint)written == bytes ? Errno.OK : Errno.EFAULT;
    }

    [LibraryImport(Libc.Name, EntryPoint = "process_vm_writev", SetLastError = true)]
    private static partial nint WriteToProcess(int pid, IoVector* local, nuint localCount, IoVector* remote, nuint remoteCount, nuint flags);
}
