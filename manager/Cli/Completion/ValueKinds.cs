using System.CommandLine;
using System.CommandLine.Completions;
using System.Runtime.CompilerServices;

namespace UffdManager.Cli.Completion;

/// <summary>Which kind of value an option or argument takes.</summary>
internal static class ValueKinds
{
    private static readonly ConditionalWeakTable<Symbol, object> s_kinds = [];

    /// <summary>Says it of a symbol.</summary>
    public static T Completed<T>(this T symbol, ValueKind kind)
        where T : Symbol
    {
        s_kinds.AddOrUpdate(symbol, kind);
        return symbol;
    }

    /// <summary>The kind of a symbol; with words, which.</summary>
    public static (ValueKind Kind, string[] Words) Of(Symbol symbol)
    {
        if (s_kinds.TryGetValue(symbol, out object? kind))
            return ((ValueKind)kind, []);
        string[] words = [.. symbol.GetCompletions(CompletionContext.Empty).Select(item => item.Label)];
        return words.Length > 0 ? (ValueKind.Word, words) : (ValueKind.Free, []);
    }
}
