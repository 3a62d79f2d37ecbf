namespace UffdManager.Linux;

/// <summary>Request codes of ioctl(2) on a userfaultfd and on /dev/userfaultfd (linux/userfaultfd.h); the same on x86-64 and arm64.</summary>
internal static class UffdRequest
{
    [CName("UFFD_API")] public const ulong ApiVersion = 0xAA;
    [CName("UFFDIO_API")] public const uint Api = 0xC018AA3F;
    [CName("UFFDIO_REGISTER")] public const uint Register = 0xC020AA00;
    [CName("UFFDIO_UNREGISTER")] public const uint Unregister = 0x8010AA01;
    [CName("UFFDIO_WAKE")] public const uint Wake = 0x8010AA02;
    [CName("UFFDIO_COPY")] public const uint Copy = 0xC028AA03;
    [CName("UFFDIO_ZEROPAGE")] public const uint ZeroPage = 0xC020AA04;
    [CName("UFFDIO_MOVE")] public const uint Move = 0xC028AA05;
    [CName("UFFDIO_WRITEPROTECT")] public const uint WriteProtect = 0xC018AA06;
    [CName("UFFDIO_CONTINUE")] public const uint Continue = 0xC020AA07;
    [CName("UFFDIO_POISON")] public const uint Poison = 0xC020AA08;
    [CName("USERFAULTFD_IOC_NEW")] public const uint New = 0xAA00;

    [CName("UFFDIO_ZEROPAGE_MODE_DONTWAKE")] public const ulong ZeroPageDontWake = 1;
    [CName("UFFDIO_POISON_MODE_DONTWAKE")] public const ulong PoisonDontWake = 1;
    [CName("UFFDIO_WRITEPROTECT_MODE_WP")] public const ulong WriteProtectProtect = 1;
    [CName("UFFDIO_WRITEPROTECT_MODE_DONTWAKE")] public const ulong WriteProtectDontWake = 2;
    [CName("UFFDIO_CONTINUE_MODE_DONTWAKE")] public const ulong ContinueDontWake = 1;
    [CName("UFFDIO_CONTINUE_MODE_WP")] public const ulong ContinueWriteProtect = 2;
}
