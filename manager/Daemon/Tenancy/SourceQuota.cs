namespace UffdManager.Daemon.Tenancy;

/// <summary>Counts the files that one tenant keeps open as page sources.</summary>
internal sealed class SourceQuota
{
    private int _open;

    public int Open => Volatile.Read(ref _open);

    public bool TryTake(int limit)
    {
        if (Interlocked.Increment(ref _open) <= limit)
            return true;

        Interlocked.Decrement(ref _open);
        return false;
    }

    public void Return() => Interlocked.Decrement(ref _open);
}
