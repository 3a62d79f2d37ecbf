using System.Globalization;

namespace UffdManager.Linux;

/// <content>Single mappings.</content>
public static partial class ProcessInfo
{
    /// <summary>
    /// The mappings of <paramref name="pid"/> in ascending order from /proc/pid/maps, which walks no page tables; so page sizes, modes, flags and resident
    /// bytes are not told. Empty when the process is gone or not ours to look at.
    /// </summary>
    public static IReadOnlyList<VmaInfo> ReadMaps(int pid) => ReadText($"/proc/{pid}/maps") is { } text ? ParseSmaps(text) : [];

    /// <summary>The thread group (process) that a thread belongs to; false when it is gone.</summary>
    public static bool TryReadThreadGroup(int tid, out int pid)
    {
        pid = 0;
        string? status = ReadText($"/proc/{tid}/status");
        if (status is null)
            return false;

        foreach (ReadOnlySpan<char> line in status.AsSpan().EnumerateLines())
        {
            if (line.StartsWith("Tgid:"))
                return int.TryParse(line[5..].Trim(), CultureInfo.InvariantCulture, out pid);
        }

        return false;
    }
}
