using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using UffdManager.Daemon.Configuration;

namespace UffdManager.Daemon.Hosting;

/// <summary>Log lines on standard error; standard output belongs to documents.</summary>
internal static class LoggingExtensions
{
    private const string Timestamp = "yyyy-MM-dd'T'HH:mm:ss.fff'Z '";

    public static IServiceCollection AddDaemonLogging(this IServiceCollection services, LoggingOptions options)
    {
        LogLevelSwitch level = new(options.Level);
        services.AddSingleton(level);
        services.AddSingleton<LogRing>();
        services.AddSingleton<ILoggerProvider, LogRingProvider>();
        return services.AddLogging(logging =>
        {
            logging.SetMinimumLevel(LogLevel.Trace);
            logging.AddFilter(level.Allows);
            _ = options.Format switch
            {
                // journald has its own clock.
                LogFormat.Systemd => logging.AddSystemdConsole(),
                LogFormat.Json => logging.AddJsonConsole(json =>
                {
                    json.TimestampFormat = Timestamp.Replace(" ", "", StringComparison.Ordinal);
                    json.UseUtcTimestamp = true;
                }),
                _ => logging.AddSimpleConsole(simple =>
                {
                    simple.TimestampFormat = Timestamp;
                    simple.UseUtcTimestamp = true;
                    simple.SingleLine = true;
                }),
            };
            logging.Services.Configure<ConsoleLoggerOptions>(console =>
            {
                console.LogToStandardErrorThreshold = LogLevel.Trace;

                // A reader of stderr that hangs must not hang the manager.
                console.QueueFullMode = ConsoleLoggerQueueFullMode.DropWrite;
            });
        });
    }
}
