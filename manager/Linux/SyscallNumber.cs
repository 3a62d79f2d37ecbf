using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <summary>
/// Numbers of the system calls that glibc 2.36 does not wrap (asm/unistd_64.h; asm-generic/unistd.h on arm64). Calls newer than
/// 5.0 have one number on all architectures; userfaultfd and kcmp are older than that.
/// </summary>
internal static class SyscallNumber
{
    [CName("SYS_userfaultfd", Architecture = "x86_64")] public const int UserfaultfdX64 = 323;
    [CName("SYS_userfaultfd", Architecture = "aarch64")] public const int UserfaultfdArm64 = 282;
    [CName("SYS_kcmp", Architecture = "x86_64")] public const int KcmpX64 = 312;
    [CName("SYS_kcmp", Architecture = "aarch64")] public const int KcmpArm64 = 272;
    [CName("SYS_pidfd_send_signal")] public const int PidfdSendSignal = 424;
    [CName("SYS_pidfd_open")] public const int PidfdOpen = 434;
    [CName("SYS_openat2")] public const int OpenAt2 = 437;
    [CName("SYS_pidfd_getfd")] public const int PidfdGetFd = 438;
    [CName("SYS_process_madvise")] public const int ProcessMadvise = 440;
    [CName("SYS_epoll_pwait2")] public const int EpollPwait2 = 441;

    public static int Kcmp => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? KcmpArm64 : KcmpX64;

    public static int Userfaultfd { get; } = RuntimeInformation.ProcessArchitecture switch
    {
        Architecture.X64 => UserfaultfdX64,
        Architecture.Arm64 => UserfaultfdArm64,
        var other => throw new PlatformNotSupportedException($"No system call numbers for {other}"),
    };
}
