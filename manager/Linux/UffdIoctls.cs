namespace UffdManager.Linux;

/// <summary>
/// The ioctls usable on a range or a userfaultfd, one bit per ioctl number, as UFFDIO_REGISTER and UFFDIO_API return them. Bits of
/// kernels not yet written are kept.
/// </summary>
[Flags]
public enum UffdIoctls : ulong
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>UFFDIO_REGISTER.</summary>
    Register = 1UL << UffdIoctlNumber.Register,

    /// <summary>UFFDIO_UNREGISTER.</summary>
    Unregister = 1UL << UffdIoctlNumber.Unregister,

    /// <summary>UFFDIO_WAKE.</summary>
    Wake = 1UL << UffdIoctlNumber.Wake,

    /// <summary>UFFDIO_COPY.</summary>
    Copy = 1UL << UffdIoctlNumber.Copy,

    /// <summary>UFFDIO_ZEROPAGE.</summary>
    ZeroPage = 1UL << UffdIoctlNumber.ZeroPage,

    /// <summary>UFFDIO_MOVE.</summary>
    Move = 1UL << UffdIoctlNumber.Move,

    /// <summary>UFFDIO_WRITEPROTECT.</summary>
    WriteProtect = 1UL << UffdIoctlNumber.WriteProtect,

    /// <summary>UFFDIO_CONTINUE.</summary>
    Continue = 1UL << UffdIoctlNumber.Continue,

    /// <summary>UFFDIO_POISON.</summary>
    Poison = 1UL << UffdIoctlNumber.Poison,

    /// <summary>UFFDIO_API.</summary>
    Api = 1UL << UffdIoctlNumber.Api,
}
