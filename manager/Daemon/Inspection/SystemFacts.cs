using System.Globalization;
using System.Text;
using UffdManager.Linux;

namespace UffdManager.Daemon.Inspection;

/// <summary>What a person who looks at a report from afar would type on the host: the daemon's threads, its process, the kernel. Plain text.</summary>
internal static class SystemFacts
{
    private static readonly string[] s_ofProcess = ["status", "limits", "cgroup", "smaps_rollup", "io", "oom_score_adj"];

    private static readonly string[] s_ofKernel =
    [
        "/proc/version", "/proc/cmdline", "/proc/loadavg", "/proc/uptime",
        "/proc/sys/vm/unprivileged_userfaultfd", "/proc/sys/vm/overcommit_memory", "/proc/sys/vm/max_map_count", "/proc/sys/vm/swappiness",
        "/proc/sys/fs/file-nr", "/proc/sys/fs/nr_open", "/proc/sys/fs/epoll/max_user_watches", "/proc/sys/kernel/yama/ptrace_scope",
        "/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/mm/transparent_hugepage/shmem_enabled",
        "/proc/pressure/memory", "/proc/pressure/cpu", "/proc/pressure/io", "/proc/meminfo",
    ];

    /// <summary>Threads of the daemon: name, state, and where the kernel has them.</summary>
    public static string Threads()
    {
        StringBuilder text = new();
        foreach (string task in Directory.EnumerateDirectories("/proc/self/task").OrderBy(path => int.Parse(Path.GetFileName(path), CultureInfo.InvariantCulture)))
        {
            string state = Read(task + "/status").Split('\n').FirstOrDefault(line => line.StartsWith("State:", StringComparison.Ordinal)) ?? "State: gone";
            text.Append(CultureInfo.InvariantCulture, $"== {Path.GetFileName(task)} {Read(task + "/comm").Trim()}\n{state}\nwchan: {Read(task + "/wchan").Trim()}\nstack:\n{Read(task + "/stack").TrimEnd()}\n\n");
        }

        return text.ToString();
    }

    /// <summary>The daemon's process: status, limits, memory, and its descriptors by kind.</summary>
    public static string Process()
    {
        StringBuilder text = new();
        foreach (string file in s_ofProcess)
            Append(text, $"/proc/self/{file}");
        text.Append("== descriptors by kind\n");
        foreach (IGrouping<string, string> kind in Directory.EnumerateFiles("/proc/self/fd").GroupBy(KindOf, StringComparer.Ordinal).OrderByDescending(group => group.Count()))
            text.Append(CultureInfo.InvariantCulture, $"{kind.Count()} {kind.Key}\n");
        return text.ToString();
    }

    /// <summary>The kernel: release, settings that matter here, memory, huge pages, pressure.</summary>
    public static string Kernel()
    {
        StringBuilder text = new();
        foreach (string file in s_ofKernel)
            Append(text, file);
        foreach (string pool in Exists("/sys/kernel/mm/hugepages").Order(StringComparer.Ordinal))
        {
            Append(text, pool + "/nr_hugepages");
            Append(text, pool + "/free_hugepages");
        }

        text.Append("== /dev/userfaultfd\n");
        Errno errno = FileIo.TryStat("/dev/userfaultfd", out FileStatus status);
        text.Append(errno == Errno.OK ? string.Create(CultureInfo.InvariantCulture, $"uid {status.Uid}, device {status.Device}\n") : errno.Describe() + "\n");
        text.Append(CultureInfo.InvariantCulture, $"\n== processors\n{Environment.ProcessorCount}\n");
        return text.ToString();
    }

    private static void Append(StringBuilder text, string file) => text.Append(CultureInfo.InvariantCulture, $"== {file}\n{Read(file).TrimEnd()}\n\n");

    private static IEnumerable<string> Exists(string directory) => Directory.Exists(directory) ? Directory.EnumerateDirectories(directory) : [];

    // Numbers tell one socket from another, which is of no interest.
    private static string KindOf(string descriptor)
    {
        try
        {
            string target = new FileInfo(descriptor).LinkTarget ?? "gone";
            int bracket = target.IndexOf(":[", StringComparison.Ordinal);
            return bracket > 0 && !target.StartsWith("anon_inode", StringComparison.Ordinal) ? target[..bracket] : target.StartsWith('/') ? "file" : target;
        }
        catch (IOException)
        {
            return "gone";
        }
    }

    private static string Read(string file)
    {
        try
        {
            return File.ReadAllText(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return $"({e.Message})";
        }
    }
}
