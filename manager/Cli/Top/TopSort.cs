using UffdManager.Control;

namespace UffdManager.Cli.Top;

/// <summary>By what sessions are ordered in <c>uffdctl top</c>.</summary>
/// <param name="Name">On the command line.</param>
/// <param name="Column">Header of the column that it orders by.</param>
/// <param name="Descending">Whether the largest come first: so for numbers, not so for names.</param>
/// <param name="Key">What is compared.</param>
internal sealed record TopSort(string Name, string Column, bool Descending, Func<TopSessionDto, IComparable> Key)
{
    /// <summary>All there are, in the order in which the keys step through them: that of the columns.</summary>
    public static IReadOnlyList<TopSort> All { get; } =
    [
        new("id", "ID", false, s => s.Id),
        new("pid", "PID", false, s => s.Pid),
        new("command", "COMMAND", false, s => s.Command ?? ""),
        new("tenant", "TENANT", false, s => s.Tenant),
        new("state", "STATE", false, s => s.State),
        new("faults", "FAULTS/S", true, s => s.FaultsPerSecond),
        new("p50", "P50", true, s => s.P50Nanoseconds),
        new("p99", "P99", true, s => s.P99Nanoseconds),
        new("copied", "COPIED/S", true, s => s.CopiedBytesPerSecond),
        new("zeroed", "ZEROED/S", true, s => s.ZeroedBytesPerSecond),
        new("resident", "RESIDENT", true, s => s.ResidentBytes),
        new("registered", "REGISTERED", true, s => s.RegisteredBytes),
        new("inflight", "INFLIGHT", true, s => s.PagesInFlight),
        new("queue", "QUEUE", true, s => s.Queue),
    ];

    /// <summary>The busiest first.</summary>
    public static TopSort Default { get; } = All.Single(sort => sort.Name == "faults");

    /// <summary>Sessions in this order, equal ones by id.</summary>
    public IEnumerable<TopSessionDto> Order(IEnumerable<TopSessionDto> sessions, bool reversed) =>
        (Descending != reversed ? sessions.OrderByDescending(Key, Comparer) : sessions.OrderBy(Key, Comparer)).ThenBy(session => session.Id);

    private static Comparer<IComparable> Comparer { get; } = Comparer<IComparable>.Create(
        (a, b) => a is string x && b is string y ? string.CompareOrdinal(x, y) : a.CompareTo(b));
}
