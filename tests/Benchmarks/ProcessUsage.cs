using System.Globalization;

namespace UffdManager.Benchmarks;

/// <summary>What a process takes of the machine, as the kernel counts it.</summary>
internal static class ProcessUsage
{
    /// <summary>Resident memory in bytes (VmRSS).</summary>
    public static long ResidentBytes(int pid) =>
        Bytes(File.ReadLines($"/proc/{pid}/status").First(text => text.StartsWith("VmRSS:", StringComparison.Ordinal)));

    /// <summary>Memory in bytes, each page divided by the number of those who have it mapped (Pss): what processes have together is the sum.</summary>
    public static long ProportionalBytes(int pid) =>
        File.ReadLines($"/proc/{pid}/smaps_rollup").Where(IsProportional).Sum(Bytes);

    /// <summary>The same of a process's mappings of memfds, but for those in which .NET keeps compiled code.</summary>
    public static long ProportionalBytesOfMemfds(int pid)
    {
        long sum = 0;
        bool counts = false;
        foreach (string line in File.ReadLines($"/proc/{pid}/smaps"))
        {
            if (char.IsAsciiHexDigitLower(line[0]))
                counts = line.Contains("/memfd:", StringComparison.Ordinal) && !line.Contains("doublemapper", StringComparison.Ordinal);
            else if (counts && IsProportional(line))
                sum += Bytes(line);
        }

        return sum;
    }

    /// <summary>The processes that the first thread of a process has started and not waited for.</summary>
    public static IReadOnlyList<int> Children(int pid) =>
    [
        .. File.ReadAllText($"/proc/{pid}/task/{pid}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries)
            .Select(text => int.Parse(text, CultureInfo.InvariantCulture)),
    ];

    /// <summary>
    /// Time on a CPU so far of each thread that lives now; to the nanosecond, where /proc/PID/stat counts ticks of 10 ms.
    /// </summary>
    public static IReadOnlyDictionary<string, long> CpuNanoseconds(int pid)
    {
        var times = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach (string thread in Directory.GetDirectories($"/proc/{pid}/task"))
        {
            try
            {
                times[thread] = long.Parse(File.ReadAllText($"{thread}/schedstat").Split(' ')[0], CultureInfo.InvariantCulture);
            }
            catch (IOException)
            {
                // The thread ended between the listing and the read.
            }
        }

        return times;
    }

    /// <summary>Time that the process took since <paramref name="before"/>; what a thread took that has ended meanwhile is not in it.</summary>
    public static double CpuNanosecondsSince(int pid, IReadOnlyDictionary<string, long> before) =>
        CpuNanoseconds(pid).Sum(thread => thread.Value - before.GetValueOrDefault(thread.Key));

    private static bool IsProportional(string line) => line.StartsWith("Pss:", StringComparison.Ordinal);

    // "NAME:   NUMBER kB"
    private static long Bytes(string line) =>
        long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) * 1024;
}
