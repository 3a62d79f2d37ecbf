using System.Globalization;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>The last line of a load client that has found every byte right.</summary>
/// <param name="Operations">Operations of all threads.</param>
/// <param name="Forks">Children that were forked.</param>
/// <param name="Orphans">Children that no manager had taken, or that one has killed.</param>
/// <param name="Reconnects">How often the session was resumed.</param>
/// <param name="Stall">Longest wait of any operation.</param>
/// <param name="Stalled">What that operation was.</param>
public sealed record LoadResult(long Operations, long Forks, long Orphans, long Reconnects, TimeSpan Stall, string Stalled)
{
    public static LoadResult Parse(string line)
    {
        Dictionary<string, string> values = line.Split(' ').Where(word => word.Contains('=', StringComparison.Ordinal))
            .ToDictionary(word => word.Split('=')[0], word => word.Split('=')[1], StringComparer.Ordinal);
        long Number(string name) => long.Parse(values[name], CultureInfo.InvariantCulture);
        return new LoadResult(
            Number("ops"), Number("forks"), Number("orphans"), Number("reconnects"), TimeSpan.FromMilliseconds(Number("stall_ms")),
            line[(line.IndexOf("stalled=", StringComparison.Ordinal) + "stalled=".Length)..]);
    }
}
