namespace UffdManager.Linux;

/// <summary>Seals of F_ADD_SEALS: what can no longer be done to a memfd, by anybody.</summary>
[Flags]
public enum MemfdSeals
{
    /// <summary>Everything is allowed.</summary>
    None = 0,

    /// <summary>No more seals.</summary>
    [CName("F_SEAL_SEAL")] Seal = 1,

    /// <summary>No shrinking: nobody can make readers of a mapping die of SIGBUS.</summary>
    [CName("F_SEAL_SHRINK")] Shrink = 2,

    /// <summary>No growing.</summary>
    [CName("F_SEAL_GROW")] Grow = 4,

    /// <summary>No writing at all; EBUSY while a writable mapping exists.</summary>
    [CName("F_SEAL_WRITE")] Write = 8,

    /// <summary>No new writable mapping and no write(2); mappings that exist keep writing (5.1).</summary>
    [CName("F_SEAL_FUTURE_WRITE")] FutureWrite = 16,

    /// <summary>No change of the execute bits (6.3).</summary>
    [CName("F_SEAL_EXEC")] Exec = 32,
}
