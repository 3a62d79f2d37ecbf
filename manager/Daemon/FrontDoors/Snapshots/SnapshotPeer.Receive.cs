using System.Runtime.InteropServices;
using UffdManager.Daemon.Hosting;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <content>How its message comes in.</content>
internal sealed partial class SnapshotPeer
{
    // What is only looked at stays charged to the sender, some 800 bytes for each piece however small, and it may have 200 KiB out: who sends byte by byte would
    // wait for room for ever. So many bytes are at most so many pieces.
    private const int MostLookedAt = 128;

    // The service manager reads hundreds of messages in a second.
    private static readonly TimeSpan s_behind = TimeSpan.FromMilliseconds(10);

    private bool _isTaking;
    private bool _isUnstored;
    private bool _isMarkSettled;
    private bool _isShort;

    private void ReceiveAll()
    {
        while (!_isClosed && !_isCondemned && !_isAttaching && TryReceive())
        {
        }
    }

    /// <returns>Whether there may be more.</returns>
    private bool TryReceive()
    {
        int length = _loop.ReceiveBuffer.Length;
        if (_isTaking && !MayTakeNext(out length))
            return false;
        int before = _descriptors.Count;
        Errno errno = _isTaking
            ? UnixSocket.Receive(_socket, _loop.ReceiveBuffer.AsSpan(0, length), _descriptors, dontWait: true, out ReceivedMessage received)
            : UnixSocket.Peek(_socket, _loop.ReceiveBuffer, _descriptors, out received);
        if (_wasTaken && (errno != Errno.OK || received.EndOfStream))
        {
            RefuseRest();
            return false;
        }

        if (errno == Errno.EAGAIN)
        {
            // A message that was sent in one piece has been complete before this.
            if (!_isTaking && _bytes.Count >= MostLookedAt && MayTake())
                TakeWhatWasSeen();
            return false;
        }

        if (errno != Errno.OK || received.EndOfStream)
        {
            if (_bytes.Count > 0)
                Refuse(HandOverRefusal.Incomplete, "it closed the connection in the middle of its message");
            else
                Dispose();
            return false;
        }

        if (received.ControlTruncated && !_isTaking)
        {
            LookAgain();
            return false;
        }

        _isShort = received.ControlTruncated;
        for (int i = before; i < _descriptors.Count; i++)
            _kinds.Add(HandedKinds.Of(_descriptors.Borrow(i)!));
        _bytes.AddRange(_loop.ReceiveBuffer.AsSpan(0, received.Length));
        if (_isShort)
            return Break(ProtocolErrorReason.DescriptorsTruncated, "descriptors were lost on the way: there was no number left for them, or the kernel did not allow them");
        if (_bytes.Count > SnapshotLoop.MaxMessage)
            return Break(ProtocolErrorReason.TooLong, $"its message is longer than {SnapshotLoop.MaxMessage} bytes");
        _decoder ??= _loop.Services.Decoders.Make(_listener.Options.Protocol);
        HandOverStep step = _decoder.Decode(CollectionsMarshal.AsSpan(_bytes), _kinds);
        if (step.Refusal is not null && _wasTaken)
        {
            RefuseRest();
            return false;
        }

        if (step.Refusal is not null)
        {
            _isWhole = step.IsWhole;
            return Break(_kinds.Contains(HandedKind.Userfaultfd) ? ProtocolErrorReason.BadBody : ProtocolErrorReason.BadDescriptor, step.Refusal);
        }

        if (step.HandOver is null)
            return true;
        Take(step.HandOver);
        return false;
    }

    // The kernel gave what it had numbers for. All of it is in the socket still: it is looked at anew when there may be some.
    private void LookAgain()
    {
        DescriptorSet part = _descriptors;
        _descriptors = new DescriptorSet();
        _loop.Blocking.Close(TenantName, part);
        _kinds.Clear();
        _bytes.Clear();
        _decoder = null;
        UnixSocket.PeekFromStart(_socket);
        AwaitNumbers();
    }

    private void AwaitNumbers()
    {
        if (!_isShort)
            _loop.LogShort(_listener.Options.Path, _process.Identity);
        _isShort = true;
        if (_loop.DueIn(s_lookAgain) < _messageDue)
            Deadline = _loop.ExpectWithin(this, s_lookAgain);
    }

    // What marks it must have reached the service manager before anything is taken: this process may be killed at any moment. Whether there is room for it can be told before, whether it went only afterwards.
    // Once it has gone, it is nobody's concern what others have on the way.
    private bool MayTake()
    {
        _isMarkSettled |= _isMarked && _loop.Services.Store.IsSettled;
        if (_isMarked ? _isMarkSettled : _loop.Services.Store.IsPrompt)
            return true;
        if (_loop.DueIn(s_behind) < _messageDue)
            Deadline = _loop.ExpectWithin(this, s_behind);
        return false;
    }

    // From here on the connection alone is not enough to begin anew. What is taken had been looked at: its descriptors are here already.
    private void TakeWhatWasSeen()
    {
        if (_kinds.Contains(HandedKind.Userfaultfd))
        {
            Mark();
            if (!MayTake())
                return;
        }

        _isTaking = true;
        UnixSocket.Discard(_socket, _bytes.Count);
        if (_isStored && !_isMarked)
        {
            // It has handed nothing over. The connection is closed with this manager, which a sender in the middle of its message finds out.
            _loop.Keeper.RemovePeer(_listener.Number, _number);
            _isStored = false;
            _isUnstored = true;
        }
    }

    /// <summary>Looks at what comes next before it is taken: with a userfaultfd the connection and its mark must be stored, and nothing before that is lost with this process.</summary>
    /// <param name="length">Bytes of it.</param>
    private bool MayTakeNext(out int length)
    {
        length = _loop.ReceiveBuffer.Length;
        if (!MayTake())
            return false;
        DescriptorSet next = new();
        UnixSocket.PeekFromStart(_socket);
        Errno errno = UnixSocket.Peek(_socket, _loop.ReceiveBuffer, next, out ReceivedMessage seen);

        // What arrives meanwhile is looked at in its turn. (At the end of the stream nothing does.)
        if (errno == Errno.EAGAIN)
            return false;
        if (errno != Errno.OK || seen.Length == 0)
            return true;
        length = seen.Length;
        bool isMemory = false;
        for (int i = 0; i < next.Count; i++)
            isMemory |= HandedKinds.Of(next.Borrow(i)!) == HandedKind.Userfaultfd;
        _loop.Blocking.Close(TenantName, next);
        if (seen.ControlTruncated)
        {
            AwaitNumbers();
            return false;
        }

        _isShort = false;
        if (!isMemory || _isMarked)
            return true;
        Mark();
        return MayTake();
    }

    // A successor cannot serve it any more, and must know that it is to be ended: its last piece may have been sent.
    private void Mark()
    {
        if (_isUnstored)
        {
            _isUnstored = false;
            _isStored = _loop.Keeper.StorePeer(_listener.Number, _number, _socket);
        }

        if (!_isMarked && _isStored)
            _isMarked = _loop.Keeper.StoreTaken(_listener.Number, _number);
    }

    // Of a message that the manager before had marked: if all of it is still there, nothing had been taken.
    private void RefuseRest() => Refuse(HandOverRefusal.Incomplete, "the manager before this one ended in the middle of its message");

    private bool Break(ProtocolErrorReason reason, string text)
    {
        _loop.Services.Telemetry.ProtocolError(SnapshotDoor.DoorName, reason);
        Refuse(HandOverRefusal.BadMessage, text);
        return false;
    }

    private void Unstore()
    {
        if (_isStored)
            _loop.Keeper.RemovePeer(_listener.Number, _number);
        if (_isMarked)
            _loop.Keeper.RemoveTaken(_listener.Number, _number);
        _isStored = _isMarked = false;
    }
}
