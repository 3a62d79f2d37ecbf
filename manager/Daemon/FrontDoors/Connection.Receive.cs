using UffdManager.Daemon.Hosting;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Daemon.FrontDoors;

/// <content>From bytes to requests.</content>
internal sealed partial class Connection
{
    // After this many messages the other connections get their turn; epoll reports what is left again.
    private const int ReceiveBudget = 16;

    private void Receive()
    {
        for (int i = 0; i < ReceiveBudget && CanReceive; i++)
        {
            if (!ReceiveOne())
                break;
        }

        UpdateWatch();
    }

    /// <returns>Whether there may be more.</returns>
    private bool ReceiveOne()
    {
        // Owns whatever came from here on; whoever handles the message takes out what it needs.
        var descriptors = new DescriptorSet();
        Errno errno = UnixSocket.Receive(_socket, _loop.ReceiveBuffer, descriptors, dontWait: true, out ReceivedMessage received);
        if (errno == Errno.EAGAIN)
            return false;
        if (errno != Errno.OK || received.EndOfStream)
        {
            Discard(descriptors);
            Close();
            return false;
        }

        if (descriptors.Count > 0 && _loop.Blocking.IsClogged(Tenant.Name))
            return Refuse(descriptors, 0, ProtocolErrorReason.BadDescriptor, "earlier descriptors of the tenant cannot be closed");

        // The kernel drops descriptors when the peer sends more than fit, and when the manager has none left: either way the message
        // is not what was sent.
        if (received.ControlTruncated)
            return Refuse(descriptors, 0, ProtocolErrorReason.DescriptorsTruncated, "descriptors were lost on the way");
        if (received.Truncated)
            return Refuse(descriptors, 0, ProtocolErrorReason.TooLong, "a message is longer than 65,536 bytes");

        DecodeError error = MessageCodec.Decode(
            _loop.ReceiveBuffer.AsSpan(0, received.Length), descriptors.Count, out MessageHeader header, out Message? message);
        if (error == DecodeError.UnknownType)
        {
            Discard(descriptors);
            _loop.Services.Telemetry.ProtocolError(NativeFrontDoor.DoorName, ProtocolErrorReason.UnknownType);
            Answer(header.RequestId, Reply.Error(ErrorCode.UnknownType, Errno.EOPNOTSUPP, $"message type {(int)header.Type} is not known"));
            return true;
        }

        if (error != DecodeError.None || message is null)
            return Refuse(descriptors, header.RequestId, WireNames.ReasonOf(error), $"a message breaks the protocol: {error}");
        if ((header.Flags & HeaderFlags.Reply) != HeaderFlags.None || !IsRequest(header.Type))
            return Refuse(descriptors, header.RequestId, ProtocolErrorReason.BadState, $"{header.Type} is not for the manager");
        if (header.RequestId == 0 && MustBeAnswered(header.Type))
            return Refuse(descriptors, 0, ProtocolErrorReason.BadBody, $"{header.Type} without a request id");

        Begin(header, message, descriptors);
        return true;
    }

    private void Begin(MessageHeader header, Message message, DescriptorSet descriptors)
    {
        if (header.Type == MessageType.Prefetch)
            _prefetches++;
        else
            _busy = true;
        _ = CarryOutAsync(header, message, descriptors).ContinueWith(
            static (task, state) => ((Connection)state!).FailLater(task.Exception!),
            this,
            CancellationToken.None,
            TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously,
            TaskScheduler.Default);
    }

    private async Task CarryOutAsync(MessageHeader header, Message message, DescriptorSet descriptors)
    {
        long began = _loop.Services.Time.GetTimestamp();
        Reply reply;
        try
        {
            reply = await _loop.Handler.HandleAsync(this, message, descriptors);
        }
        catch (SyscallException e)
        {
            reply = Reply.Error(ErrorCode.Kernel, e.Errno, e.Message);
        }
#pragma warning disable CA1031 // One peer's request must not end the front door for all; the log has the defect.
        catch (Exception e)
#pragma warning restore CA1031
        {
            _loop.LogFailure(e, Peer.Identity, Tenant.Name, WireNames.Of(header.Type));
            reply = Reply.Error(ErrorCode.Kernel, Errno.EIO, "the manager failed; its log says why");
        }

        Discard(descriptors);

        if (header.Type == MessageType.Prefetch)
            _prefetches--;
        else
            _busy = false;
        _loop.Services.Telemetry.RequestCompleted(
            NativeFrontDoor.DoorName,
            Tenant.Name,
            WireNames.Of(header.Type),
            WireNames.OutcomeOf(reply.Message),
            _loop.Services.Time.GetElapsedTime(began));
        Answer(header.RequestId, reply);
        if (_leaving)
            Leave();
        UpdateWatch();
    }

    private void FailLater(Exception exception) => _loop.Post(() => Fail(exception));

    // Never closed here: close(2) of a file of a file system that the peer serves waits for the peer.
    private void Discard(DescriptorSet descriptors) => _loop.Blocking.Close(Tenant.Name, descriptors);

    // Who cannot write its own messages is not asked a second time.
    private bool Refuse(DescriptorSet descriptors, uint requestId, ProtocolErrorReason reason, string text)
    {
        Discard(descriptors);
        _loop.Services.Telemetry.ProtocolError(NativeFrontDoor.DoorName, reason);
        _loop.LogPeer(Peer.Identity, Tenant.Name, text);
        Send(Reply.Error(ErrorCode.Protocol, Errno.EPROTO, text).Message, requestId, HeaderFlags.Reply, null);
        Close();
        return false;
    }

    private static bool IsRequest(MessageType type) => WireNames.Of(type) != WireNames.UnknownRequest;

    private static bool MustBeAnswered(MessageType type) =>
        type is not (MessageType.Unregister or MessageType.Prefetch or MessageType.Wake or MessageType.WriteProtect);
}
