namespace UffdManager.TestSupport;

/// <summary>
/// Makes the kernel put transparent huge pages into shared memory for one test, wherever it may, and puts back what was there.
/// </summary>
public sealed class SharedHugePages : IDisposable
{
    private const string Setting = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

    private readonly string _before;
    private readonly MachineLock _lock;

    /// <param name="setting"><c>always</c>, <c>advise</c>, <c>within_size</c> or <c>force</c>.</param>
    public SharedHugePages(string setting)
    {
        Require.Root();
        Require.That(File.Exists(Setting), "needs a kernel with transparent huge pages");
        _lock = MachineLock.Take("shmem-enabled");
        _before = Chosen(File.ReadAllText(Setting));
        try
        {
            File.WriteAllText(Setting, setting);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _lock.Dispose();
            Require.That(false, $"needs to set {Setting}: {e.Message}");
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        File.WriteAllText(Setting, _before);
        _lock.Dispose();
    }

    // always within_size advise [never] deny force
    private static string Chosen(string text) => text[(text.IndexOf('[', StringComparison.Ordinal) + 1)..text.IndexOf(']', StringComparison.Ordinal)];
}
