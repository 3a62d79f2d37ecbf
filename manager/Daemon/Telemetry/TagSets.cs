using System.Collections.Concurrent;

namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// The tag sets of one instrument whose first label is open (tenant, loop) and whose other labels are closed sets, made once
/// per first value and kept. Any thread.
/// </summary>
internal sealed class TagSets(InstrumentDefinition instrument)
{
    private readonly ConcurrentDictionary<string, KeyValuePair<string, object?>[][]> _sets = new(StringComparer.Ordinal);

    /// <summary>The tag sets for a first value, in the order of the closed values, the last label running fastest.</summary>
    public KeyValuePair<string, object?>[][] For(string first) => _sets.GetOrAdd(first, Make);

    private KeyValuePair<string, object?>[][] Make(string first)
    {
        IEnumerable<KeyValuePair<string, object?>[]> sets = [[new(instrument.Labels[0].Name, first)]];
        foreach (var label in instrument.Labels.Skip(1))
        {
            var values = label.Values ?? throw new InvalidOperationException($"{instrument.Name}: {label.Name} is not a closed set.");
            sets = sets.SelectMany(set => values.Select(value => (KeyValuePair<string, object?>[])[.. set, new(label.Name, value)]));
        }

        return [.. sets];
    }
}
