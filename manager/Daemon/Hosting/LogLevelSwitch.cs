using Microsoft.Extensions.Logging;

namespace UffdManager.Daemon.Hosting;

/// <summary>The least level that is written; a reload may change it.</summary>
internal sealed class LogLevelSwitch(LogLevel level)
{
    private int _level = (int)level;

    public LogLevel Level
    {
        get => (LogLevel)Volatile.Read(ref _level);
        set => Volatile.Write(ref _level, (int)value);
    }

    // It logs, with a stack trace, what it then throws and DaemonHost reports in one sentence.
    private const string FrameworkHost = "Microsoft.Extensions.Hosting.Internal.Host";

    /// <summary>The frameworks' own messages are for their developers: only warnings and worse get through, unless debugging.</summary>
    public bool Allows(string? category, LogLevel level)
    {
        LogLevel least = Level;
        if (least > LogLevel.Debug && category is not null && !category.StartsWith("UffdManager.", StringComparison.Ordinal))
            least = category == FrameworkHost ? LogLevel.None : (LogLevel)Math.Max((int)least, (int)LogLevel.Warning);
        return level >= least;
    }
}
