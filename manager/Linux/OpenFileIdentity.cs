namespace UffdManager.Linux;

/// <summary>Whether two descriptors are one open file; see kcmp(2).</summary>
public static class OpenFileIdentity
{
    private const int CompareFiles = 0;

    /// <summary>
    /// True when both descriptors of this process refer to the same open file description, as duplicates sent over a socket do. False when they do
    /// not, and when the kernel was built without kcmp.
    /// </summary>
    public static bool IsSame(SafeFd first, SafeFd second)
    {
        using FdLease a = first.Lease();
        using FdLease b = second.Lease();
        int self = Environment.ProcessId;
        return Libc.Syscall(SyscallNumber.Kcmp, self, self, CompareFiles, a.Fd, b.Fd, 0) == 0;
    }
}
