using System.Globalization;

namespace UffdManager.Linux;

/// <summary>capabilities(7) of this process.</summary>
public static class Capabilities
{
    /// <summary>Be taken for the owner of every file.</summary>
    [CName("CAP_FOWNER")] public const int FileOwner = 3;

    /// <summary>Send signals to processes of other users.</summary>
    [CName("CAP_KILL")] public const int Kill = 5;

    /// <summary>Look into other processes; needed for EventFork and for a userfaultfd by system call.</summary>
    [CName("CAP_SYS_PTRACE")] public const int SysPtrace = 19;

    /// <summary>Mount file systems, and much more.</summary>
    [CName("CAP_SYS_ADMIN")] public const int SysAdmin = 21;

    /// <summary>Administer; raise limits.</summary>
    [CName("CAP_SYS_RESOURCE")] public const int SysResource = 24;

    /// <summary>True when the capability is in the effective set of this process now.</summary>
    public static bool HasEffective(int capability)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(capability);
        foreach (string line in (ProcessInfo.ReadText("/proc/self/status") ?? "").Split('\n'))
        {
            if (line.StartsWith("CapEff:", StringComparison.Ordinal))
            {
                ulong set = ulong.Parse(line.AsSpan("CapEff:".Length).Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
                return capability < 64 && (set & (1UL << capability)) != 0;
            }
        }

        return false;
    }
}
