namespace UffdManager.Linux;

/// <summary>What a registered range reports (UFFDIO_REGISTER).</summary>
[Flags]
public enum UffdRegisterModes : ulong
{
    /// <summary>Nothing; refused by the kernel.</summary>
    None = 0,

    /// <summary>Accesses to pages that do not exist.</summary>
    [CName("UFFDIO_REGISTER_MODE_MISSING")] Missing = 1,

    /// <summary>Writes to pages that are write-protected through the userfaultfd.</summary>
    [CName("UFFDIO_REGISTER_MODE_WP")] WriteProtect = 2,

    /// <summary>Accesses to pages that are in the page cache but not mapped.</summary>
    [CName("UFFDIO_REGISTER_MODE_MINOR")] Minor = 4,
}
