using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Tenancy;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Daemon.FrontDoors;

/// <content>Who comes in.</content>
internal sealed partial class DoorLoop
{
    private int _open;
    private SafeFile? _device;

    /// <summary>A descriptor of /dev/userfaultfd for a client; owned by the caller.</summary>
    /// <exception cref="SyscallException">The kernel or the administrator does not offer it.</exception>
    public SafeFile HandOutDevice()
    {
        _device ??= Userfaultfd.OpenDevice();
        return _device.Duplicate<SafeFile>();
    }

    private void AcceptFailed(string error)
    {
        if (_logThrottle.TryEnter(typeof(SafeSocketFd), "", out long suppressed))
            LogAcceptFailed(Services.Logger, error, suppressed);
    }

    private void Admit(SafeSocketFd socket)
    {
        if (_open >= Services.Options.MaxConnections)
        {
            TurnAway(socket, null, PeerRefusal.ListenerFull, ErrorCode.Limit, Errno.EMFILE, "the manager has as many connections as it may");
            return;
        }

        PeerProcess? peer = PeerProcess.TryIdentify(socket, out uint uid);
        if (peer is null)
        {
            TurnAway(
                socket, null, PeerRefusal.PeerGone, ErrorCode.RefusedPeer, Errno.EACCES,
                $"the process (uid {uid}) has gone or is outside the manager's pid namespace");
            return;
        }

        TenantDecision decision = Services.Tenants.Resolve(peer.Identity);
        if (!decision.IsGranted)
        {
            TurnAway(socket, peer, PeerRefusal.UnknownPeer, ErrorCode.RefusedPeer, Errno.EACCES, decision.Refusal);
            return;
        }

        IDisposable? place = decision.Grant.TryEnter();
        if (place is null)
        {
            TurnAway(
                socket, peer, PeerRefusal.ConnectionLimit, ErrorCode.Limit, Errno.EMFILE,
                $"tenant {decision.Grant.Name} has {decision.Grant.Limits.Connections} connections, which is its limit");
            return;
        }

        if (Blocking.IsClogged(decision.Grant.Name))
        {
            place.Dispose();
            TurnAway(
                socket, peer, PeerRefusal.ConnectionLimit, ErrorCode.Limit, Errno.EMFILE,
                $"descriptors of tenant {decision.Grant.Name} cannot be closed: their file system does not answer");
            return;
        }

        _open++;
        try
        {
            _ = new Connection(this, socket, peer, decision.Grant, place);
        }
        catch (SyscallException e)
        {
            // ENOSPC: fs.epoll.max_user_watches, which all processes of the uid share.
            place.Dispose();
            TurnAway(socket, peer, PeerRefusal.ListenerFull, ErrorCode.Limit, e.Errno, e.Message);
            return;
        }

        Services.Telemetry.ConnectionOpened(Door, decision.Grant.Name);
        LogOpened(Services.Logger, peer.Identity, decision.Grant.Name);
    }

    private void TurnAway(SafeSocketFd socket, PeerProcess? peer, PeerRefusal reason, ErrorCode code, Errno errno, string text)
    {
        Services.Telemetry.PeerRefused(Door, reason);
        if (_logThrottle.TryEnter(typeof(PeerRefusal), "", out long suppressed))
            LogRefused(Services.Logger, peer?.Identity.ToString() ?? "a peer", text, suppressed);
        Reply reply = Reply.Error(code, errno, text);
        int length = MessageCodec.Encode(reply.Message, 0, HeaderFlags.None, SendBuffer);

        // Whether it arrives is the peer's business; the socket is new, so its buffer has room.
        _ = UnixSocket.Send(socket, SendBuffer.AsSpan(0, length), [], dontWait: true);
        Discard(socket, "");
        socket.Dispose();
        peer?.Dispose();
    }

    private void CloseListener()
    {
        _listener?.Close();
        _listener = null;
    }

    /// <summary>
    /// Reads away what has arrived. Closing a socket with unread messages makes the peer's next receive fail with ECONNRESET before
    /// it comes to the answer that says why.
    /// </summary>
    public void Discard(SafeSocketFd socket, string tenant)
    {
        const int Enough = 64;
        for (int i = 0; i < Enough; i++)
        {
            var descriptors = new DescriptorSet();
            Errno errno = UnixSocket.Receive(socket, ReceiveBuffer, descriptors, dontWait: true, out ReceivedMessage message);
            Blocking.Close(tenant, descriptors);
            if (errno != Errno.OK || message.EndOfStream)
                return;
        }
    }
}
