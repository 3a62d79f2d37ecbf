using Xunit;

namespace UffdManager.TestSupport;

/// <summary>
/// Proves that a piece of code closed what it opened: compares the descriptors of a process before and after. Meant for test assemblies that
/// run one test at a time; descriptors that the runtime opens for itself are known and left out.
/// </summary>
public sealed class DescriptorWatch
{
    private readonly string _folder;
    private readonly Dictionary<string, string> _before;

    private DescriptorWatch(string folder)
    {
        _folder = folder;
        _before = Read();
    }

    /// <summary>Begins to watch this process.</summary>
    public static DescriptorWatch Start() => new("/proc/self/fd");

    /// <summary>Begins to watch another process.</summary>
    public static DescriptorWatch Start(int pid) => new($"/proc/{pid}/fd");

    /// <summary>Descriptors that are new or became another file, as <c>number -> file</c>.</summary>
    public IReadOnlyList<string> Added() =>
        [.. Read().Where(now => !_before.TryGetValue(now.Key, out string? old) || old != now.Value).Select(now => $"{now.Key} -> {now.Value}")];

    /// <summary>Descriptors that are gone, as <c>number -> file</c>.</summary>
    public IReadOnlyList<string> Removed()
    {
        Dictionary<string, string> now = Read();
        return [.. _before.Where(old => !now.ContainsKey(old.Key)).Select(old => $"{old.Key} -> {old.Value}")];
    }

    /// <summary>Fails unless everything opened since the start is closed, at once or within a moment (other threads finish).</summary>
    public void AssertUnchanged()
    {
        if (Added().Count == 0)
            return;
        SpinWait wait = default;
        long end = Environment.TickCount64 + 2000;
        while (Added().Count > 0 && Environment.TickCount64 < end)
            wait.SpinOnce();
        Assert.Empty(Added());
    }

    private Dictionary<string, string> Read()
    {
        Dictionary<string, string> result = [];
        foreach (string path in Directory.EnumerateFileSystemEntries(_folder))
        {
            // The enumeration's own descriptor is in the list and gone when looked at.
            if (new FileInfo(path).LinkTarget is { } target && !IsOfRuntime(target))
                result[Path.GetFileName(path)] = target;
        }

        return result;
    }

    // Assemblies are loaded when first used, listing /proc/self/fd opens it, and the runtime has a pipe for each of its threads (the
    // manager makes none).
    private static bool IsOfRuntime(string target) =>
        target.StartsWith("pipe:", StringComparison.Ordinal) ||
        target.EndsWith(".dll", StringComparison.Ordinal) || target.EndsWith(".pdb", StringComparison.Ordinal)
        || target.Contains("/proc/", StringComparison.Ordinal) || target.Contains("doublemapper", StringComparison.Ordinal);
}
