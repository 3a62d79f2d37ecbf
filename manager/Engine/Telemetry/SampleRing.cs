namespace UffdManager.Engine.Telemetry;

/// <summary>Service times on their way from a fault loop to whoever draws histograms: one writer, one reader, no lock, drops when full.</summary>
internal sealed class SampleRing
{
    private const int Capacity = 1 << 16;

    private readonly FaultSample[] _samples = GC.AllocateArray<FaultSample>(Capacity, pinned: true);
    private long _written;
    private long _read;
    private long _dropped;

    public long Dropped => Volatile.Read(ref _dropped);

    public void Write(in FaultSample sample)
    {
        long written = _written;
        if (written - Volatile.Read(ref _read) >= Capacity)
        {
            _dropped++;
            return;
        }

        _samples[written & (Capacity - 1)] = sample;
        Volatile.Write(ref _written, written + 1);
    }

    public int Drain(Span<FaultSample> into)
    {
        long read = _read;
        int count = (int)Math.Min(into.Length, Volatile.Read(ref _written) - read);
        for (int i = 0; i < count; i++)
        {
            into[i] = _samples[(read + i) & (Capacity - 1)];
        }

        Volatile.Write(ref _read, read + count);
        return count;
    }
}
