using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Hosting;
using UffdManager.Linux;

namespace UffdManager.Daemon.Control;

/// <summary>
/// Identifies who connects, and bounds the connections: in all, of one user, and of a user without any right. A part of the places is kept for administrators, so that nobody
/// can lock them out by connecting often.
/// </summary>
internal sealed partial class ConnectionGate(AccessRules rules, ILogger<ConnectionGate> logger, TimeProvider time)
{
    /// <summary>Connections in all; Kestrel's own limit is the same.</summary>
    public const int MaximumConnections = 192;

    internal const int KeptForAdministrators = 64;
    internal const int MaximumOfOneUid = 32;
    internal const int MaximumOfStranger = 4;

    private readonly Lock _gate = new();
    private readonly Dictionary<uint, int> _byUid = [];
    private readonly LogThrottle _throttle = new(time);
    private int _ordinary;

    /// <summary>Runs a connection if it may come in, else closes it.</summary>
    public async Task AdmitAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        if (Identify(connection) is not { } peer)
            return;

        AccessRight right = rules.Of(peer);
        if (!TryEnter(peer.Credentials.Uid, right))
        {
            if (_throttle.TryEnter(typeof(ConnectionGate), "", out long suppressed))
                LogTooMany(peer, suppressed);
            connection.Abort();
            return;
        }

        connection.Features.Set(peer);
        try
        {
            await next(connection);
        }
        finally
        {
            Leave(peer.Credentials.Uid, right);
        }
    }

    private static ControlPeer? Identify(ConnectionContext connection)
    {
        try
        {
            return connection.Features.Get<IConnectionSocketFeature>() is { } feature ? ControlPeer.Of(feature.Socket) : null;
        }
        catch (Exception e) when (e is SyscallException or ObjectDisposedException)
        {
            // It is gone already.
            return null;
        }
    }

    private bool TryEnter(uint uid, AccessRight right)
    {
        int own = right == AccessRight.None ? MaximumOfStranger : MaximumOfOneUid;
        lock (_gate)
        {
            int open = _byUid.GetValueOrDefault(uid);
            if (open >= own || (right != AccessRight.Admin && _ordinary >= MaximumConnections - KeptForAdministrators))
                return false;
            _byUid[uid] = open + 1;
            if (right != AccessRight.Admin)
                _ordinary++;
            return true;
        }
    }

    private void Leave(uint uid, AccessRight right)
    {
        lock (_gate)
        {
            if (--_byUid[uid] == 0)
                _byUid.Remove(uid);
            if (right != AccessRight.Admin)
                _ordinary--;
        }
    }

    [LoggerMessage(2210, LogLevel.Warning, "Control socket: {Peer} has as many connections as it may, or there are too many; closing this one. {Suppressed} such lines were left out")]
    private partial void LogTooMany(ControlPeer peer, long suppressed);
}
