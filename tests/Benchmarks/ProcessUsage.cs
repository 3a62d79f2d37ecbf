using System.Globalization;

namespace UffdManager.Benchmarks;

/// <summary>What a process takes of the machine, as the kernel counts it.</summary>
internal static class ProcessUsage
{
    /// <summary>Resident memory in bytes (VmRSS).</summary>
    public static long ResidentBytes(int pid)
    {
        string line = File.ReadLines($"/proc/{pid}/status").First(text => text.StartsWith("VmRSS:", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) * 1024;
    }

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
}
