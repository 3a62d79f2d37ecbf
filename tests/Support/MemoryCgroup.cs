using System.Globalization;

namespace UffdManager.TestSupport;

/// <summary>A control group of its own with a memory limit, of whichever version the machine has; removed at the end.</summary>
public sealed class MemoryCgroup : IDisposable
{
    private readonly string _path;
    private readonly bool _unified;

    private MemoryCgroup(string path, bool unified)
    {
        _path = path;
        _unified = unified;
    }

    /// <summary>Makes the group; skips the test (or fails, see <see cref="Require"/>) where that is not allowed.</summary>
    public static MemoryCgroup Create(long limitBytes)
    {
        Require.Root();
        const string Legacy = "/sys/fs/cgroup/memory";
        const string Controllers = "/sys/fs/cgroup/cgroup.subtree_control";
        bool unified = File.Exists(Controllers) && File.ReadAllText(Controllers).Split().Contains("memory");
        Require.That(unified || File.Exists(Legacy + "/memory.limit_in_bytes"), "needs the memory controller of cgroups");
        string path = Path.Combine(unified ? "/sys/fs/cgroup" : Legacy, $"uffd-test-{Environment.ProcessId}-{Environment.TickCount64}");
        Directory.CreateDirectory(path);
        MemoryCgroup group = new(path, unified);
        group.SetLimit(limitBytes);
        return group;
    }

    /// <summary>So much may be charged to the group from now on.</summary>
    public void SetLimit(long bytes) => Write(_unified ? "memory.max" : "memory.limit_in_bytes", bytes);

    /// <summary>Bytes charged to the group now.</summary>
    public long Usage =>
        long.Parse(File.ReadAllText(Path.Combine(_path, _unified ? "memory.current" : "memory.usage_in_bytes")), CultureInfo.InvariantCulture);

    /// <summary>Moves a process into the group; what it touches from now on is charged here.</summary>
    public void Add(int pid) => Write("cgroup.procs", pid);

    /// <summary>
    /// From now on who wants more than there is room for is refused: nothing of the group is swapped out for it, and no process of it is killed.
    /// </summary>
    /// <param name="pids">All processes that are in the group.</param>
    public void RefuseWhenFull(params ReadOnlySpan<int> pids)
    {
        // A kernel without swap has neither file.
        string swap = _unified ? "memory.swap.max" : "memory.swappiness";
        if (File.Exists(Path.Combine(_path, swap)))
            Write(swap, 0);
        if (!_unified)
        {
            Write("memory.oom_control", 1);
            return;
        }

        foreach (int pid in pids)
        {
            try
            {
                File.WriteAllText($"/proc/{pid}/oom_score_adj", "-1000");
            }
            catch (UnauthorizedAccessException)
            {
                Require.That(false, "needs CAP_SYS_RESOURCE, to keep a process from being killed for memory");
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // Busy for a moment after the last process has died.
        Eventually.True(TryRemove, "the empty control group to go");
    }

    private bool TryRemove()
    {
        try
        {
            Directory.Delete(_path, recursive: false);
            return true;
        }
        catch (IOException)
        {
            return !Directory.Exists(_path);
        }
    }

    private void Write(string file, long value) =>
        File.WriteAllText(Path.Combine(_path, file), value.ToString(CultureInfo.InvariantCulture));
}
