using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Configuration;

namespace UffdManager.Daemon.Hosting;

internal sealed partial class ReloadService
{
    [LoggerMessage(1020, LogLevel.Information, "Configuration read again: {Tenants} tenants, {Policies} policies, from {Origins}")]
    private partial void LogReloaded(int tenants, int policies, string origins);

    [LoggerMessage(1021, LogLevel.Error, "Configuration: {Error}")]
    private partial void LogError(ConfigurationError error);

    [LoggerMessage(1022, LogLevel.Error, "The configuration has {Errors} errors, keeping the one in use")]
    private partial void LogRefused(int errors);

    [LoggerMessage(1023, LogLevel.Warning, "The changes of {Section} need a restart, ignoring them until then")]
    private partial void LogNeedsRestart(string section);

    [LoggerMessage(1025, LogLevel.Error, "The configuration could not be read again, keeping the one in use")]
    private partial void LogReloadFailed(Exception exception);

    [LoggerMessage(1024, LogLevel.Warning, "Configuration: {Warning}")]
    private partial void LogWarning(string warning);
}
