using System.Globalization;

namespace UffdManager.Linux;

/// <summary>What /proc tells about processes. A process that has gone is an answer (false, null, empty), never an exception.</summary>
public static partial class ProcessInfo
{
    /// <summary>Our own pid.</summary>
    public static int CurrentPid => Environment.ProcessId;

    /// <summary>
    /// When the process started, in clock ticks since boot (field 22 of /proc/PID/stat): together with the number it names a process
    /// across reuse of the number. Zombies still have one.
    /// </summary>
    public static bool TryReadStartTime(int pid, out ulong startTime)
    {
        startTime = 0;
        return StatField(pid, 22) is { } field && ulong.TryParse(field, CultureInfo.InvariantCulture, out startTime);
    }

    /// <summary>The parent's number; 0 when it lies outside our pid namespace.</summary>
    public static bool TryReadParent(int pid, out int parentPid)
    {
        parentPid = 0;
        return StatField(pid, 4) is { } field && int.TryParse(field, CultureInfo.InvariantCulture, out parentPid);
    }

    /// <summary>All processes of our pid namespace at this moment, in no order; empty where /proc is not there.</summary>
    public static IEnumerable<int> AllPids()
    {
        foreach (string directory in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(directory.AsSpan()), NumberStyles.None, CultureInfo.InvariantCulture, out int pid))
                yield return pid;
        }
    }

    /// <summary>The state letter of /proc/PID/stat (<c>R S D T Z X</c>); null when the process is gone.</summary>
    public static char? ReadState(int pid) => StatField(pid, 3) is [char state] ? state : null;

    /// <summary>
    /// The control group: the v2 path where the unified hierarchy is in use, else the v1 path of the memory controller, else that of
    /// name=systemd. Null when the process is gone.
    /// </summary>
    public static string? ReadCgroup(int pid) => ReadText($"/proc/{pid}/cgroup") is { } text ? ChooseCgroup(text) : null;

    /// <summary>The name of the process (at most 15 bytes, chosen by itself); null when it is gone.</summary>
    public static string? ReadComm(int pid) => ReadText($"/proc/{pid}/comm")?.TrimEnd('\n');

    internal static string? ChooseCgroup(string text)
    {
        string? unified = null;
        string? memory = null;
        string? named = null;
        foreach (string line in text.Split('\n'))
        {
            // hierarchy-ID:controller,controller:path; the path itself may hold colons.
            string[] parts = line.Split(':', 3);
            if (parts.Length != 3)
                continue;
            if (parts[0] == "0" && parts[1].Length == 0)
                unified = parts[2];
            else if (parts[1].Split(',').Contains("memory"))
                memory = parts[2];
            else if (parts[1] == "name=systemd")
                named = parts[2];
        }

        // A hybrid machine has the v2 hierarchy without controllers, and everybody sits in its root.
        return unified is null or "/" ? memory ?? named ?? unified : unified;
    }

    internal static string? ReadText(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null; // ENOENT when gone before the open, ESRCH when gone before the read.
        }
    }

    private static string? StatField(int pid, int number)
    {
        // Field 2 is the command in parentheses and may contain blanks and parentheses itself: count from the last one.
        if (ReadText($"/proc/{pid}/stat") is not { } text)
            return null;
        int end = text.LastIndexOf(')');
        string[] rest = end < 0 ? [] : text[(end + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        int index = number - 3;
        return index < rest.Length ? rest[index].TrimEnd('\n') : null;
    }
}
