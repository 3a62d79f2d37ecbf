using UffdManager.Linux;

namespace UffdManager.TestSupport;

/// <summary>
/// Something that there is one of on the machine: test processes that run side by side take turns. It is flock(2) on a file, so a process that dies gives it back.
/// </summary>
/// <remarks>In a directory that everybody may write to, a file of somebody else can be opened, but not with O_CREAT, not even by root (fs.protected_regular): so it is made only where there is none.</remarks>
public sealed class MachineLock : IDisposable
{
    private const uint ReadableToAll = 0x1a4;

    private readonly FileStream _file;

    private MachineLock(FileStream file) => _file = file;

    /// <summary>Waits for its turn.</summary>
    /// <param name="name">What it is that there is one of.</param>
    public static MachineLock Take(string name)
    {
        string path = Path.Combine(Path.GetTempPath(), $"uffd-test-{name}.lock");
        MachineLock? turn = null;
        Eventually.True(() => (turn = TryTake(path)) is not null, TimeSpan.FromMinutes(2), $"the turn of another test that has the machine's {name}");
        return turn!;
    }

    /// <summary>Takes the lock of a file; null while somebody else has it.</summary>
    public static MachineLock? TryTake(string path)
    {
        try
        {
            return new MachineLock(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.None));
        }
        catch (FileNotFoundException)
        {
            return TryMake(path);
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static MachineLock? TryMake(string path)
    {
        try
        {
            FileStream file = new(path, FileMode.CreateNew, FileAccess.Write, FileShare.None);
            FileIo.ChangeMode(path, ReadableToAll);
            return new MachineLock(file);
        }
        catch (IOException)
        {
            // Somebody else was faster.
            return null;
        }
    }
}
