using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using UffdManager.Daemon.Telemetry;
using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Daemon.Inspection;

/// <summary>The words and forms of the control API for what the engine has as numbers.</summary>
internal static class Words
{
    private static readonly string[] s_states = SnakeCase.NamesOf<SessionState>();
    private static readonly string[] s_verdicts = SnakeCase.NamesOf<Verdict>();
    private static readonly string[] s_prefetchModes = [.. Enum.GetNames<PrefetchMode>().Select(JsonNamingPolicy.CamelCase.ConvertName)];

    // Keyed by values that the kernel and the engine make: there are a handful of combinations.
    private static readonly ConcurrentDictionary<UffdFeatures, string[]> s_features = new();
    private static readonly ConcurrentDictionary<UffdRegisterModes, string[]> s_modes = new();
    private static readonly ConcurrentDictionary<RegionFlags, string[]> s_flags = new();

    public static string[] FaultKinds { get; } = SnakeCase.NamesOf<FaultKind>();

    public static string[] FaultOutcomes { get; } = SnakeCase.NamesOf<FaultOutcome>();

    public static string[] EventKinds { get; } = SnakeCase.NamesOf<EventKind>();

    public static string[] DeferralReasons { get; } = SnakeCase.NamesOf<DeferralReason>();

    public static string[] FetchOutcomes { get; } = SnakeCase.NamesOf<FetchOutcome>();

    public static IReadOnlyList<string> States => s_states;

    public static string Of(SessionState state) => s_states[(int)state];

    public static string Of(Verdict verdict) => s_verdicts[(int)verdict];

    /// <summary>As in the configuration.</summary>
    public static string Of(PrefetchMode mode) => s_prefetchModes[(int)mode];

    public static string[] Of(UffdFeatures features) => s_features.GetOrAdd(features, Split);

    public static string[] Of(UffdRegisterModes modes) => s_modes.GetOrAdd(modes, Split);

    public static string[] Of(RegionFlags flags) => s_flags.GetOrAdd(flags, Split);

    public static string Address(ulong address) => string.Create(CultureInfo.InvariantCulture, $"0x{address:x}");

    public static string Time(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);

    /// <summary>Text of a client, for terminals and logs: a process chooses its name, and a name can move a cursor.</summary>
    public static string Printable(string text) => string.Concat(text.Select(c => char.IsControl(c) ? '?' : c));

    private static string[] Split<T>(T flags)
        where T : struct, Enum
    {
        ulong value = Convert.ToUInt64(flags, CultureInfo.InvariantCulture);
        List<string> words = [];
        foreach (T flag in Enum.GetValues<T>())
        {
            ulong bit = Convert.ToUInt64(flag, CultureInfo.InvariantCulture);
            if (ulong.IsPow2(bit) && (value & bit) != 0)
                words.Add(SnakeCase.From(flag.ToString()));
        }

        return [.. words];
    }
}
