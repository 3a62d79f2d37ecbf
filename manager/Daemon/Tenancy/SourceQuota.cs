namespace UffdManager.Daemon.Tenancy;

/// <summary>
/// Counts the files that one tenant keeps open as page sources, and their sizes: a source is mapped, so a few sparse files of many terabytes would
/// use up the manager's address space.
/// </summary>
internal sealed class SourceQuota
{
    private readonly Lock _gate = new();
    private int _open;
    private long _bytes;

    /// <summary>Files open now.</summary>
    public int Open
    {
        get
        {
            lock (_gate)
                return _open;
        }
    }

    /// <summary>Sizes of these files together.</summary>
    public long Bytes
    {
        get
        {
            lock (_gate)
                return _bytes;
        }
    }

    /// <summary>Takes a place for one file.</summary>
    /// <param name="bytes">The file's size.</param>
    /// <param name="limits">What the tenant may have.</param>
    /// <param name="refusal">Which limit is in the way.</param>
    public bool TryTake(long bytes, DaemonLimits limits, out string? refusal)
    {
        lock (_gate)
        {
            refusal = _open >= limits.Sources ? $"has {_open} sources open, its limit is {limits.Sources}"
                : bytes > limits.SourceBytes - _bytes ? $"has {_bytes} bytes of sources open and wants {bytes} more, its limit is {limits.SourceBytes}"
                : null;
            if (refusal is not null)
                return false;

            _open++;
            _bytes += bytes;
            return true;
        }
    }

    /// <summary>Takes a place for a file that is open already, whatever the limit.</summary>
    /// <param name="bytes">The file's size.</param>
    public void Take(long bytes)
    {
        lock (_gate)
        {
            _open++;
            _bytes += bytes;
        }
    }

    /// <summary>Gives a place back.</summary>
    /// <param name="bytes">As it was taken.</param>
    public void Return(long bytes)
    {
        lock (_gate)
        {
            _open--;
            _bytes -= bytes;
        }
    }
}
