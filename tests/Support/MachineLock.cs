namespace UffdManager.TestSupport;

/// <summary>
/// Something that there is one of on the machine: test processes that run side by side take turns. It is flock(2) on a file, so a process that dies gives it back.
/// </summary>
internal sealed class MachineLock : IDisposable
{
    private readonly FileStream _file;

    private MachineLock(FileStream file) => _file = file;

    /// <summary>Waits for its turn.</summary>
    /// <param name="name">What it is that there is one of.</param>
    public static MachineLock Take(string name)
    {
        string path = Path.Combine(Path.GetTempPath(), $"uffd-test-{name}.lock");
        FileStream? file = null;
        Eventually.True(() => (file = TryLock(path)) is not null, TimeSpan.FromMinutes(2), $"the turn of another test that has the machine's {name}");
        return new MachineLock(file!);
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static FileStream? TryLock(string path)
    {
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException)
        {
            return null;
        }
    }
}
