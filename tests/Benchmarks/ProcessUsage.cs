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

    /// <summary>Time on a CPU of all threads that live now; to the nanosecond, where /proc/PID/stat counts ticks of 10 ms.</summary>
    public static TimeSpan Cpu(int pid)
    {
        long nanoseconds = 0;
        foreach (string task in Directory.GetDirectories($"/proc/{pid}/task"))
        {
            try
            {
                nanoseconds += long.Parse(File.ReadAllText($"{task}/schedstat").Split(' ')[0], CultureInfo.InvariantCulture);
            }
            catch (IOException)
            {
                // The thread ended between the listing and the read.
            }
        }

        return TimeSpan.FromTicks(nanoseconds / 100);
    }
}
