using System.Globalization;

namespace UffdManager.Linux;

/// <content>Single mappings.</content>
public static partial class ProcessInfo
{
    /// <summary>
    /// Finds the mapping that holds an address in /proc/pid/maps, which unlike smaps walks no page tables.
    /// </summary>
    /// <returns>False when the process is gone, may not be looked at, or has nothing there.</returns>
    public static bool TryFindMapping(int pid, ulong address, out ulong start, out ulong end)
    {
        start = end = 0;
        string? maps = ReadText($"/proc/{pid}/maps");
        if (maps is null)
            return false;

        foreach (ReadOnlySpan<char> line in maps.AsSpan().EnumerateLines())
        {
            int dash = line.IndexOf('-');
            int blank = line.IndexOf(' ');
            if (dash <= 0 || blank <= dash
                || !ulong.TryParse(line[..dash], NumberStyles.HexNumber, CultureInfo.InvariantCulture, out start)
                || !ulong.TryParse(line[(dash + 1)..blank], NumberStyles.HexNumber, CultureInfo.InvariantCulture, out end))
            {
                continue;
            }

            if (address < start)
                break;
            if (address < end)
                return true;
        }

        start = end = 0;
        return false;
    }

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
