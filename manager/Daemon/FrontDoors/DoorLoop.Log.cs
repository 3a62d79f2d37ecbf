using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Tenancy;

namespace UffdManager.Daemon.FrontDoors;

/// <content>Log messages of the front door: 2000–2099.</content>
internal sealed partial class DoorLoop
{
    /// <summary>Tells of a peer that breaks the rules, if there is room in the log.</summary>
    public void LogPeer(PeerIdentity peer, string tenant, string what)
    {
        if (_logThrottle.TryEnter(typeof(ProtocolErrorReason), tenant, out long suppressed))
            LogMisbehaved(Services.Logger, peer, tenant, what, suppressed);
    }

    /// <summary>Tells of a defect, if there is room in the log: a peer may be able to provoke it.</summary>
    public void LogFailure(Exception exception, PeerIdentity peer, string tenant, string request)
    {
        if (_logThrottle.TryEnter(typeof(Exception), tenant, out long suppressed))
            LogRequestFailed(Services.Logger, exception, peer, request, suppressed);
    }

    public void LogClosed(PeerIdentity peer, string tenant) => LogClosed(Services.Logger, peer, tenant);

    [LoggerMessage(2000, LogLevel.Debug, "Connection opened ({Peer}), tenant {Tenant}")]
    private static partial void LogOpened(ILogger logger, PeerIdentity peer, string tenant);

    [LoggerMessage(2001, LogLevel.Debug, "Connection closed ({Peer}), tenant {Tenant}")]
    private static partial void LogClosed(ILogger logger, PeerIdentity peer, string tenant);

    [LoggerMessage(2002, LogLevel.Warning, "Peer turned away ({Peer}): {Reason} ({Suppressed} more such lines held back)")]
    private static partial void LogRefused(ILogger logger, string peer, string reason, long suppressed);

    [LoggerMessage(2003, LogLevel.Warning, "Closing the connection of {Peer}, tenant {Tenant}: {What} ({Suppressed} more such lines held back)")]
    private static partial void LogMisbehaved(ILogger logger, PeerIdentity peer, string tenant, string what, long suppressed);

    [LoggerMessage(2004, LogLevel.Error, "No connection can be accepted: {Error}, trying again soon ({Suppressed} more such lines held back)")]
    private static partial void LogAcceptFailed(ILogger logger, string error, long suppressed);

    [LoggerMessage(2005, LogLevel.Error, "Request {Request} of {Peer} failed unexpectedly ({Suppressed} more such lines held back)")]
    private static partial void LogRequestFailed(ILogger logger, Exception exception, PeerIdentity peer, string request, long suppressed);
}
