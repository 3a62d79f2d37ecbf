using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <summary>The one place where errno becomes a value.</summary>
internal static class LastError
{
    /// <summary>errno of the last P/Invoke of this thread that had SetLastError.</summary>
    public static Errno Get() => (Errno)Marshal.GetLastPInvokeError();

    /// <summary>True when the call failed because a signal came: the caller repeats it.</summary>
    public static bool IsInterrupted(nint result) => result < 0 && Get() == Errno.EINTR;

    /// <summary>Throws what the last call failed with.</summary>
    public static SyscallException Exception(string call, string subject) => new(Get(), call, subject);
}
