using UffdManager.Daemon.Hosting;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Daemon.FrontDoors;

/// <content>From answers to bytes.</content>
internal sealed partial class Connection
{
    private readonly Queue<(byte[] Bytes, SafeFd? Descriptor)> _outgoing = new();
    private int _outgoingBytes;

    private void Answer(uint requestId, Reply reply)
    {
        if (requestId == 0)
            reply.Descriptor?.Dispose();
        else
            Send(reply.Message, requestId, HeaderFlags.Reply, reply.Descriptor);
        if (reply.ThenClose)
            Close();
    }

    /// <summary>Sends now or as soon as the peer reads; takes the descriptor over.</summary>
    private void Send(Message message, uint requestId, HeaderFlags flags, SafeFd? descriptor)
    {
        if (State == ConnectionState.Closed)
        {
            descriptor?.Dispose();
            return;
        }

        int length = MessageCodec.Encode(message, requestId, flags, _loop.SendBuffer);
        ReadOnlySpan<byte> bytes = _loop.SendBuffer.AsSpan(0, length);
        Errno errno = _outgoing.Count > 0 ? Errno.EAGAIN : TrySend(bytes, descriptor);
        if (errno == Errno.EAGAIN && length <= MaxUnreadBytes - _outgoingBytes)
        {
            _outgoing.Enqueue((bytes.ToArray(), descriptor));
            _outgoingBytes += length;
            UpdateWatch();
            return;
        }

        descriptor?.Dispose();
        if (errno == Errno.OK)
            return;
        if (errno == Errno.EAGAIN)
        {
            _loop.Services.Telemetry.ProtocolError(NativeFrontDoor.DoorName, ProtocolErrorReason.PeerNotReading);
            _loop.LogPeer(Peer.Identity, Tenant.Name, "it does not read its answers");
        }

        Close();
    }

    private void Flush()
    {
        while (_outgoing.TryPeek(out (byte[] Bytes, SafeFd? Descriptor) next))
        {
            Errno errno = TrySend(next.Bytes, next.Descriptor);
            if (errno == Errno.EAGAIN)
                return;
            if (errno != Errno.OK)
            {
                Close();
                return;
            }

            _outgoing.Dequeue();
            _outgoingBytes -= next.Bytes.Length;
            next.Descriptor?.Dispose();
        }

        if (_leaving)
            Leave();
        UpdateWatch();
    }

    private Errno TrySend(ReadOnlySpan<byte> bytes, SafeFd? descriptor) => descriptor is null
        ? UnixSocket.Send(_socket, bytes, [], dontWait: true)
        : UnixSocket.Send(_socket, bytes, [descriptor], dontWait: true);

    private void DropOutgoing()
    {
        while (_outgoing.TryDequeue(out (byte[] Bytes, SafeFd? Descriptor) next))
            next.Descriptor?.Dispose();
        _outgoingBytes = 0;
    }
}
