using System.Collections.Immutable;
using Microsoft.Extensions.Logging;

namespace UffdManager.Daemon.Hosting;

/// <summary>The least level that is written: of the whole process, and exceptions by category. Set by the configuration, and for a while by an operator.</summary>
internal sealed class LogLevelSwitch(LogLevel level)
{
    // It logs, with a stack trace, what it then throws and DaemonHost reports in one sentence.
    private const string FrameworkHost = "Microsoft.Extensions.Hosting.Internal.Host";

    private readonly Lock _changing = new();
    private int _level = (int)level;
    private int _configured = (int)level;
    private ImmutableSortedDictionary<string, LogLevel> _categories = ImmutableSortedDictionary.Create<string, LogLevel>(StringComparer.Ordinal);

    /// <summary>The level of categories without an exception.</summary>
    public LogLevel Level
    {
        get => (LogLevel)Volatile.Read(ref _level);
        set => Volatile.Write(ref _level, (int)value);
    }

    /// <summary>What the configuration says.</summary>
    public LogLevel Configured => (LogLevel)Volatile.Read(ref _configured);

    /// <summary>Exceptions, by the beginning of the category.</summary>
    public ImmutableSortedDictionary<string, LogLevel> Categories => Volatile.Read(ref _categories);

    /// <summary>Back to what the configuration says, without exceptions.</summary>
    public void Configure(LogLevel configured)
    {
        lock (_changing)
        {
            Volatile.Write(ref _categories, Categories.Clear());
            Volatile.Write(ref _configured, (int)configured);
            Level = configured;
        }
    }

    /// <summary>Sets and takes away exceptions, all or none.</summary>
    /// <param name="changes">By category; null takes one away.</param>
    /// <param name="limit">How many there may be.</param>
    /// <returns>False when there would be more.</returns>
    public bool TryChange(IEnumerable<KeyValuePair<string, LogLevel?>> changes, int limit)
    {
        lock (_changing)
        {
            ImmutableSortedDictionary<string, LogLevel>.Builder categories = Categories.ToBuilder();
            foreach ((string category, LogLevel? least) in changes)
            {
                if (least is { } set)
                    categories[category] = set;
                else
                    categories.Remove(category);
            }

            if (categories.Count > limit)
                return false;
            Volatile.Write(ref _categories, categories.ToImmutable());
            return true;
        }
    }

    /// <summary>The frameworks' own messages are for their developers: only warnings and worse get through, unless debugging.</summary>
    public bool Allows(string? category, LogLevel level)
    {
        if (Exception(category) is { } exception)
            return level >= exception;

        LogLevel least = Level;
        if (least > LogLevel.Debug && category is not null && !category.StartsWith("UffdManager.", StringComparison.Ordinal))
            least = category == FrameworkHost ? LogLevel.None : (LogLevel)Math.Max((int)least, (int)LogLevel.Warning);
        return level >= least;
    }

    // The longest that fits; a name fits itself and what lies below it.
    private LogLevel? Exception(string? category)
    {
        ImmutableSortedDictionary<string, LogLevel> categories = Categories;
        if (category is null || categories.IsEmpty)
            return null;

        (int length, LogLevel? found) = (-1, null);
        foreach ((string prefix, LogLevel least) in categories)
        {
            bool fits = category.StartsWith(prefix, StringComparison.Ordinal) && (category.Length == prefix.Length || category[prefix.Length] == '.');
            if (fits && prefix.Length > length)
                (length, found) = (prefix.Length, least);
        }

        return found;
    }
}
