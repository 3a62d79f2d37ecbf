using UffdManager.Control;

namespace UffdManager.Cli.Output;

/// <summary>Words of the control API, coloured for people. A word that is not known shows as it is.</summary>
internal static class Words
{
    public static Cell Phase(string phase) => new(Text.Clean(phase), phase switch
    {
        "ready" => Style.Good,
        "starting" or "draining" or "stopping" => Style.Warning,
        _ => Style.None,
    });

    public static Cell SessionState(string state) => new(Text.Clean(state), state switch
    {
        "serving" => Style.Good,
        "adopting" => Style.Warning,
        "condemned" => Style.Bad,
        "ended" => Style.Faint,
        _ => Style.None,
    });

    public static string Latency(LatencyDto? latency) => latency switch
    {
        null => "not measured",
        { Count: 0 } => "none measured",
        _ => $"p50 {Units.Time(latency.P50Nanoseconds)}, p90 {Units.Time(latency.P90Nanoseconds)}, p99 {Units.Time(latency.P99Nanoseconds)}, "
            + $"p99.9 {Units.Time(latency.P999Nanoseconds)}",
    };

    /// <summary>A percentile in a table; a dash where nothing was measured.</summary>
    public static Cell Percentile(long nanoseconds) => nanoseconds == 0 ? "-" : Units.Time(nanoseconds);

    public static Cell YesNo(bool value) => value ? "yes" : "no";

    public static Cell List(IEnumerable<string> words) => string.Join(", ", words);

    /// <summary>Words in one column of a table, without blanks.</summary>
    public static Cell Packed(IEnumerable<string> words) => string.Join(",", words);
}
