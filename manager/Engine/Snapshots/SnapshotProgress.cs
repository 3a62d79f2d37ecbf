namespace UffdManager.Engine.Snapshots;

/// <summary>How far a snapshot is. May be read from any thread while it is taken.</summary>
public sealed class SnapshotProgress
{
    private long _takenAt;
    private long _totalBytes;
    private long _doneBytes;
    private long _writtenBytes;
    private long _savedPages;
    private long _armNanoseconds;
    private long _holdNanoseconds;
    private long _copyNanoseconds;
    private long _throttledNanoseconds;

    /// <summary>The instant, monotonic nanoseconds; 0 before.</summary>
    public long TakenAt => Volatile.Read(ref _takenAt);

    /// <summary>Bytes of all regions; 0 before the instant.</summary>
    public long TotalBytes => Volatile.Read(ref _totalBytes);

    /// <summary>Bytes looked at in their order.</summary>
    public long DoneBytes => Volatile.Read(ref _doneBytes);

    /// <summary>Bytes written to the file.</summary>
    public long WrittenBytes => Volatile.Read(ref _writtenBytes);

    /// <summary>Pages that were saved out of their turn, because somebody waited to write them.</summary>
    public long SavedPages => Volatile.Read(ref _savedPages);

    /// <summary>Time to protect everything. Writers of protected pages wait only in the last part of it.</summary>
    public long ArmNanoseconds => Volatile.Read(ref _armNanoseconds);

    /// <summary>Last part of that time, in which writers of protected pages wait.</summary>
    public long HoldNanoseconds => Volatile.Read(ref _holdNanoseconds);

    /// <summary>Time from the instant to the last page.</summary>
    public long CopyNanoseconds => Volatile.Read(ref _copyNanoseconds);

    /// <summary>Part of it in which there was no memory for further pages, because the file was slower.</summary>
    public long ThrottledNanoseconds => Volatile.Read(ref _throttledNanoseconds);

    internal void Taken(long now, long totalBytes, long armNanoseconds, long holdNanoseconds)
    {
        Volatile.Write(ref _takenAt, now);
        Volatile.Write(ref _armNanoseconds, armNanoseconds);
        Volatile.Write(ref _holdNanoseconds, holdNanoseconds);
        Volatile.Write(ref _totalBytes, totalBytes);
    }

    internal void Done(long doneBytes) => Volatile.Write(ref _doneBytes, doneBytes);

    internal void Written(long bytes) => Interlocked.Add(ref _writtenBytes, bytes);

    internal void Saved(long pages) => Interlocked.Add(ref _savedPages, pages);

    internal void Throttled(long nanoseconds) => Volatile.Write(ref _throttledNanoseconds, _throttledNanoseconds + nanoseconds);

    internal void Copied(long nanoseconds) => Volatile.Write(ref _copyNanoseconds, nanoseconds);
}
