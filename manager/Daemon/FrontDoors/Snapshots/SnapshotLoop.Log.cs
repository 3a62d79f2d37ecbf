using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Tenancy;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <content>Log messages of the front door of snapshots: 2100–2199.</content>
internal sealed partial class SnapshotLoop
{
    /// <summary>Tells of a VM that was killed, if there is room in the log.</summary>
    public void LogKilled(PeerIdentity peer, string tenant, string socket, string reason, Errno errno)
    {
        if (!_logThrottle.TryEnter(typeof(HandOverRefusal), tenant, out long suppressed))
            return;
        if (errno is Errno.OK or Errno.ESRCH)
            LogVmKilled(Services.Logger, peer, socket, reason, suppressed);
        else
            LogVmNotKilled(Services.Logger, peer, socket, reason, errno.Describe(), suppressed);
    }

    /// <summary>Tells of a peer that had nothing handed over when it was turned away.</summary>
    public void LogTurnedAway(string peer, string socket, string reason)
    {
        if (_logThrottle.TryEnter(typeof(PeerRefusal), "", out long suppressed))
            LogPeerTurnedAway(Services.Logger, peer, socket, reason, suppressed);
    }

    /// <summary>Tells that somebody waits because it cannot be found out who it is.</summary>
    public void LogUnknown(string socket)
    {
        if (_logThrottle.TryEnter(typeof(UnknownPeer), "", out long suppressed))
            LogPeerUnknown(Services.Logger, socket, suppressed);
    }

    /// <summary>Tells of a socket's file that stays.</summary>
    public void LogNotRemoved(string socket, string problem) => LogSocketNotRemoved(Services.Logger, socket, problem);

    /// <summary>Tells of a defect that keeps snapshots from being served.</summary>
    public void LogNotBegun(Exception exception) => LogBeginFailed(Services.Logger, exception);

    /// <summary>Tells of a defect, if there is room in the log: a peer may be able to provoke it.</summary>
    public void LogFailure(Exception exception, PeerIdentity peer, string socket)
    {
        if (_logThrottle.TryEnter(typeof(Exception), "", out long suppressed))
            LogHandOverFailed(Services.Logger, exception, peer, socket, suppressed);
    }

    /// <summary>Tells of a defect that keeps it from being known who somebody is.</summary>
    public void LogNotIdentified(Exception exception, string socket)
    {
        if (_logThrottle.TryEnter(typeof(PeerIdentifier), "", out long suppressed))
            LogIdentificationFailed(Services.Logger, exception, socket, suppressed);
    }

    /// <summary>Tells that no connection can be accepted for the moment.</summary>
    public void AcceptFailed(string error)
    {
        if (_logThrottle.TryEnter(typeof(SafeSocketFd), "", out long suppressed))
            LogAcceptFailed(Services.Logger, error, suppressed);
    }

    /// <summary>Tells that nobody is let in for the moment, for want of what many sockets share.</summary>
    /// <param name="reason">What it is.</param>
    /// <param name="tenant">Whose; empty for everybody's.</param>
    /// <param name="socket">Where somebody waits.</param>
    /// <param name="text">In words.</param>
    public void LogPaused(AdmissionPause reason, string tenant, string socket, string text)
    {
        if (_logThrottle.TryEnter(typeof(AdmissionPause), $"{reason} {tenant}", out long suppressed))
            LogAdmissionPaused(Services.Logger, socket, text, suppressed);
    }

    /// <summary>Tells that nobody is let in for the moment, for want of what one socket has for itself.</summary>
    /// <param name="throttle">The socket's own.</param>
    /// <param name="reason">What it is.</param>
    /// <param name="socket">Where somebody waits.</param>
    /// <param name="text">In words.</param>
    public void LogPaused(LogThrottle throttle, AdmissionPause reason, string socket, string text)
    {
        if (throttle.TryEnter(typeof(AdmissionPause), reason.ToString(), out long suppressed))
            LogAdmissionPaused(Services.Logger, socket, text, suppressed);
    }

    /// <summary>Tells of one who is left behind because nobody could find out who it is.</summary>
    public void LogLeftBehind(string socket, int pid, uint uid) => LogPeerLeftBehind(Services.Logger, socket, pid, uid);

    /// <summary>Tells that a socket of the manager before is made anew.</summary>
    public void LogMadeAnew(string socket) => LogSocketMadeAnew(Services.Logger, socket);

    /// <summary>Tells that a hand-over waits for numbers for its descriptors.</summary>
    public void LogShort(string socket, PeerIdentity peer)
    {
        if (_logThrottle.TryEnter(typeof(HandedKind), "", out long suppressed))
            LogNoNumbers(Services.Logger, peer, socket, suppressed);
    }

    /// <summary>Tells that a socket will not outlive this process, though others do.</summary>
    public void LogNotKept(string socket) => LogSocketNotKept(Services.Logger, socket);

    [LoggerMessage(2100, LogLevel.Information, "Snapshot {Snapshot}: image {Image} of tenant {Tenant} is served at {Socket}")]
    private static partial void LogOpened(ILogger logger, string snapshot, string image, string tenant, string socket);

    [LoggerMessage(2101, LogLevel.Error, "Snapshot {Snapshot} is not served: cannot listen on {Socket}: {Error}. Mend the cause and have the configuration read again")]
    private static partial void LogNotOpened(ILogger logger, string snapshot, string socket, string error);

    [LoggerMessage(2108, LogLevel.Information, "Snapshot {Snapshot}: image {Image} of tenant {Tenant} goes on being served at {Socket}")]
    private static partial void LogAdopted(ILogger logger, string snapshot, string image, string tenant, string socket);

    [LoggerMessage(2109, LogLevel.Warning, "Sockets of the manager before: {Problem}")]
    private static partial void LogProblem(ILogger logger, string problem);

    [LoggerMessage(2110, LogLevel.Warning, "The socket {Socket} will not outlive this process: the service manager has no room for its descriptors")]
    private static partial void LogSocketNotKept(ILogger logger, string socket);

    [LoggerMessage(2111, LogLevel.Warning, "The socket {Socket} is opened although the service manager has not read yet that it is to be kept: VMs that connect before it has are lost if this process ends")]
    private static partial void LogNotRead(ILogger logger, string socket);

    [LoggerMessage(2112, LogLevel.Warning, "The file of socket {Socket} cannot be removed, and nobody listens there any more: {Problem}")]
    private static partial void LogSocketNotRemoved(ILogger logger, string socket, string problem);

    [LoggerMessage(2113, LogLevel.Error, "Snapshots of the configuration may not be served: the front door failed unexpectedly")]
    private static partial void LogBeginFailed(ILogger logger, Exception exception);

    [LoggerMessage(2114, LogLevel.Error, "Who connected at {Socket} waits: there is no descriptor or memory left to find out who it is, trying again soon ({Suppressed} more such lines held back)")]
    private static partial void LogPeerUnknown(ILogger logger, string socket, long suppressed);

    [LoggerMessage(2115, LogLevel.Warning, "Who connects at {Socket} waits to be let in: {Reason} ({Suppressed} more such lines held back)")]
    private static partial void LogAdmissionPaused(ILogger logger, string socket, string reason, long suppressed);

    [LoggerMessage(2116, LogLevel.Error, "Hand-over of {Peer} at {Socket} waits: there is no number left for its descriptors, or the kernel does not allow them, trying again soon ({Suppressed} more such lines held back)")]
    private static partial void LogNoNumbers(ILogger logger, PeerIdentity peer, string socket, long suppressed);

    [LoggerMessage(2117, LogLevel.Error, "Who connected at {Socket} (pid {Pid}, uid {Uid}) is left behind: there was no descriptor or memory left to find out who it is. If it has handed its memory over it will hang: end it")]
    private static partial void LogPeerLeftBehind(ILogger logger, string socket, int pid, uint uid);

    [LoggerMessage(2118, LogLevel.Warning, "The socket {Socket} of the manager before cannot be reached, its file is gone: it is made anew")]
    private static partial void LogSocketMadeAnew(ILogger logger, string socket);

    [LoggerMessage(2102, LogLevel.Information, "Snapshot {Snapshot} is not served at {Socket} any more; its VMs go on")]
    private static partial void LogRemoved(ILogger logger, string snapshot, string socket);

    [LoggerMessage(2103, LogLevel.Warning, "VM killed at its hand-over ({Peer}), {Socket}: {Reason} ({Suppressed} more such lines held back)")]
    private static partial void LogVmKilled(ILogger logger, PeerIdentity peer, string socket, string reason, long suppressed);

    [LoggerMessage(2104, LogLevel.Error,
        "VM that cannot be served ({Peer}), {Socket}: {Reason}. It cannot be killed ({Error}) and will hang: end it, and give the manager CAP_KILL ({Suppressed} more such lines held back)")]
    private static partial void LogVmNotKilled(ILogger logger, PeerIdentity peer, string socket, string reason, string error, long suppressed);

    [LoggerMessage(2105, LogLevel.Warning, "Peer turned away before it handed anything over ({Peer}), {Socket}: {Reason} ({Suppressed} more such lines held back)")]
    private static partial void LogPeerTurnedAway(ILogger logger, string peer, string socket, string reason, long suppressed);

    [LoggerMessage(2106, LogLevel.Error, "No connection can be accepted: {Error}, trying again soon ({Suppressed} more such lines held back)")]
    private static partial void LogAcceptFailed(ILogger logger, string error, long suppressed);

    [LoggerMessage(2119, LogLevel.Error, "Who connected at {Socket} waits: to find out who it is failed unexpectedly, trying again soon ({Suppressed} more such lines held back)")]
    private static partial void LogIdentificationFailed(ILogger logger, Exception exception, string socket, long suppressed);

    [LoggerMessage(2107, LogLevel.Error, "Hand-over of {Peer} at {Socket} failed unexpectedly ({Suppressed} more such lines held back)")]
    private static partial void LogHandOverFailed(ILogger logger, Exception exception, PeerIdentity peer, string socket, long suppressed);
}
