namespace UffdManager.Engine.WorkingSets;

/// <summary>Which pages of a source runs need, and how early. Immutable.</summary>
internal sealed record Trace
{
    /// <summary>Pages that a trace holds at most.</summary>
    public const int MaximumPages = 256 * 1024;

    /// <summary>One page in so many is left to its fault by a replay: what becomes of it tells what becomes of the others.</summary>
    public const uint ProbeShare = 64;

    /// <summary>Runs, and probes, beyond which a trace does not count.</summary>
    public const int MaximumCount = 1 << 28;

    /// <summary>By page, each at most once.</summary>
    public required TraceEntry[] Entries { get; init; }

    /// <summary>Runs that it was learnt from.</summary>
    public int Runs { get; init; }

    /// <summary>The longest that a run was observed, milliseconds.</summary>
    public long ObservedMilliseconds { get; init; }

    /// <summary>Whether the next run is to be recorded on demand: what was replayed turned out to be of little use.</summary>
    public bool Relearn { get; init; }

    /// <summary>Probes of the last runs that must have been touched if they ever were; older runs count less.</summary>
    public int ProbesJudged { get; init; }

    /// <summary>How many of those were touched.</summary>
    public int ProbesTouched { get; init; }

    /// <summary>Whether a replay leaves a page out, to see whether it is touched. Each page has its turn once in <see cref="ProbeShare"/> runs.</summary>
    public static bool IsProbe(uint page, int run) => (((page * 0x9E37_79B1u) >> 16) + (uint)run) % ProbeShare == 0;

    /// <summary>Index of a page, or the complement of where it would stand.</summary>
    public int IndexOf(uint page)
    {
        int low = 0;
        int high = Entries.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            uint found = Entries[middle].Page;
            if (found == page)
            {
                return middle;
            }

            if (found < page)
            {
                low = middle + 1;
            }
            else
            {
                high = middle - 1;
            }
        }

        return ~low;
    }
}
