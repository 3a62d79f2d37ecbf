using System.Globalization;
using Microsoft.Extensions.Logging;

namespace UffdManager.Daemon.Hosting;

/// <summary>Puts what is logged into a <see cref="LogRing"/> as well; the same filter holds as for the log itself.</summary>
internal sealed class LogRingProvider(LogRing ring, TimeProvider time) : ILoggerProvider
{
    public ILogger CreateLogger(string categoryName) => new Writer(categoryName, ring, time);

    public void Dispose()
    {
        // The ring outlives its writers: a support archive may be the last thing that is asked for.
    }

    private sealed class Writer(string category, LogRing ring, TimeProvider time) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            string at = time.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);
            string text = $"{at} {logLevel}: {category}[{eventId.Id}] {formatter(state, exception)}";
            ring.Add((exception is null ? text : $"{text} {exception}").ReplaceLineEndings(" | "));
        }
    }
}
