namespace UffdManager.Engine.State;

/// <summary>Bytes of the state memories of one fault loop's sessions. Any thread.</summary>
internal sealed class MemoryGauge
{
    private long _bytes;

    public long Bytes => Volatile.Read(ref _bytes);

    public void Add(long bytes) => Interlocked.Add(ref _bytes, bytes);
}
