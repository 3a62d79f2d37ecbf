namespace UffdManager.Linux;

/// <summary>Flags of memfd_create(2); close-on-exec is always set.</summary>
[Flags]
public enum MemfdFlags : uint
{
    /// <summary>Plain shared memory that cannot be sealed.</summary>
    None = 0,

    /// <summary>Seals may be added.</summary>
    [CName("MFD_ALLOW_SEALING")] AllowSealing = 2,

    /// <summary>Backed by huge pages of the default size.</summary>
    [CName("MFD_HUGETLB")] HugeTlb = 4,

    /// <summary>Not executable for ever (6.3); EINVAL on older kernels.</summary>
    [CName("MFD_NOEXEC_SEAL")] NoExecSeal = 8,

    /// <summary>With <see cref="HugeTlb"/>: pages of 2 MiB.</summary>
    [CName("MFD_HUGE_2MB")] Huge2MiB = 21u << 26,
}
