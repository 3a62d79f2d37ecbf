using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <summary>getrlimit(2) of the number of descriptors.</summary>
public static unsafe partial class Rlimits
{
    [CName("RLIMIT_NOFILE")] private const int NoFile = 7;

    /// <summary>How many descriptors this process may have: now, and at most without privilege.</summary>
    /// <exception cref="SyscallException">Never in practice.</exception>
    public static (ulong Soft, ulong Hard) GetNoFile()
    {
        ResourceLimit limit;
        if (GetRlimit(NoFile, &limit) < 0)
            throw LastError.Exception("getrlimit", "RLIMIT_NOFILE");
        return (limit.Soft, limit.Hard);
    }

    /// <summary>Raises the soft limit to the hard one.</summary>
    /// <exception cref="SyscallException">EPERM.</exception>
    public static void RaiseNoFile()
    {
        (_, ulong hard) = GetNoFile();
        SetNoFile(hard, hard);
    }

    /// <summary>Sets both limits. Lowering the hard limit cannot be undone without CAP_SYS_RESOURCE.</summary>
    /// <exception cref="SyscallException">EPERM, EINVAL soft above hard.</exception>
    public static void SetNoFile(ulong soft, ulong hard)
    {
        ResourceLimit limit = new() { Soft = soft, Hard = hard };
        if (SetRlimit(NoFile, &limit) < 0)
            throw LastError.Exception("setrlimit", "RLIMIT_NOFILE");
    }

    [LibraryImport(Libc.Name, EntryPoint = "getrlimit", SetLastError = true)]
    private static partial int GetRlimit(int resource, ResourceLimit* limit);

    [LibraryImport(Libc.Name, EntryPoint = "setrlimit", SetLastError = true)]
    private static partial int SetRlimit(int resource, ResourceLimit* limit);
}

/// <summary>struct rlimit of the 64-bit ABIs.</summary>
[CName("struct rlimit")]
internal struct ResourceLimit
{
    [CName("rlim_cur")] public ulong Soft;
    [CName("rlim_max")] public ulong Hard;
}
