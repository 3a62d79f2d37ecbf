namespace UffdManager.Daemon.Inspection;

/// <summary>Service times of the last ten minutes in slots of five seconds, with the buckets of the exported histogram. Not thread safe.</summary>
internal sealed class LatencySlots
{
    public const int Slots = 120;

    public static readonly TimeSpan SlotLength = TimeSpan.FromSeconds(5);

    private static readonly long s_slotNanoseconds = (long)SlotLength.TotalNanoseconds;

    private readonly long[] _numbers = new long[Slots];
    private readonly long[][] _counts = [.. Enumerable.Range(0, Slots).Select(_ => new long[Boundaries.Length + 1])];

    /// <summary>Upper ends of the buckets, nanoseconds: 1, 2 and 5 of each power of ten, from a microsecond to ten seconds.</summary>
    public static long[] Boundaries { get; } =
        [.. Enumerable.Range(3, 7).SelectMany(power => new[] { 1L, 2, 5 }.Select(step => step * (long)Math.Pow(10, power))), 10_000_000_000];

    /// <summary>Number of the slot of a moment of the monotonic clock, nanoseconds.</summary>
    public static long NumberOf(long at) => at / s_slotNanoseconds;

    /// <summary>Counts one fault.</summary>
    /// <param name="endedAt">Monotonic clock, nanoseconds.</param>
    /// <param name="nanoseconds">How long it took.</param>
    public void Add(long endedAt, long nanoseconds)
    {
        long number = NumberOf(endedAt);
        int slot = (int)(number % Slots);
        if (_numbers[slot] != number)
        {
            // A fault loop that was far behind must not wipe out what is newer.
            if (_numbers[slot] > number)
                return;
            _numbers[slot] = number;
            Array.Clear(_counts[slot]);
        }

        int bucket = Array.BinarySearch(Boundaries, nanoseconds);
        _counts[slot][bucket < 0 ? ~bucket : bucket]++;
    }

    /// <summary>Adds the counts of a slot to others.</summary>
    public void AddTo(long number, long[] counts)
    {
        // Before the machine was started.
        if (number < 0)
            return;

        int slot = (int)(number % Slots);
        if (_numbers[slot] != number)
            return;
        for (int i = 0; i < counts.Length; i++)
            counts[i] += _counts[slot][i];
    }
}
