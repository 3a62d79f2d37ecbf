using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>Tells what is wrong with a session that is to be restored from what is wrong with the manager that restores it.</summary>
internal static class RestoreTrouble
{
    /// <summary>
    /// Whether another start may succeed where this one failed: no memory, no descriptors, an installation that is being replaced at this moment. Such a
    /// failure ends the start and leaves every session to the next one; any other is the session's own, and ends that session.
    /// </summary>
    public static bool IsOurs(Exception failure) => failure switch
    {
        SyscallException syscall => syscall.Errno is Errno.EMFILE or Errno.ENFILE or Errno.ENOMEM or Errno.ENOSPC or Errno.EAGAIN,
        TypeInitializationException { InnerException: Exception inner } => IsOurs(inner),
        FileNotFoundException { FileName: string name } => !name.StartsWith('/'), // the name of an assembly
        _ => failure is OutOfMemoryException or FileLoadException or BadImageFormatException or TypeLoadException or MemberAccessException or ObjectDisposedException,
    };
}
