namespace UffdManager.Daemon.Telemetry;

/// <summary>A label and how many values it can have, from which follows how many series an instrument can have.</summary>
/// <param name="Name">Name of the label.</param>
/// <param name="Values">All its values, when they are known when the code is written.</param>
/// <param name="Limit">The greatest number of values.</param>
internal sealed record InstrumentLabel(string Name, IReadOnlyList<string>? Values, int Limit)
{
    /// <summary>A label with the members of an enumeration as values.</summary>
    public static InstrumentLabel Of<TEnum>(string name)
        where TEnum : struct, Enum => Closed(name, SnakeCase.NamesOf<TEnum>());

    /// <summary>A label with known values.</summary>
    public static InstrumentLabel Closed(string name, params string[] values) => new(name, values, values.Length);

    /// <summary>A label whose values depend on the configuration or the machine, bounded all the same.</summary>
    public static InstrumentLabel Bounded(string name, int limit) => new(name, null, limit);
}
