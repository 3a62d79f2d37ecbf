using System.Runtime.InteropServices;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Tenancy;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>
/// The process of a VM, from its connection to its session or its end. Belongs to the front door's thread.
/// </summary>
/// <remarks>
/// <para>What comes is looked at and left in the socket until the VM is a session: the connection alone is enough to begin anew. Only a message that comes in pieces is taken once it is longer than <see cref="MostLookedAt"/> bytes.</para>
/// <para>The VMM expects no answer. Once its message is in the socket it takes its memory for served; so who has handed over a userfaultfd and cannot be served is killed, or it would wait for
/// its first page for ever (<c>SnapshotPeer.Refuse.cs</c>). Who has not loses the connection, and its message fails.</para>
/// </remarks>
internal sealed partial class SnapshotPeer : IDoorMember, IDisposable
{
    // What is only looked at stays charged to the sender, some 800 bytes for each piece however small, and it may have 200 KiB out: who sends byte by byte would
    // wait for room for ever. So many bytes are at most so many pieces.
    private const int MostLookedAt = 128;

    private readonly SnapshotLoop _loop;
    private readonly SnapshotSocket _listener;
    private readonly SafeSocketFd _socket;
    private readonly PeerProcess _process;
    private readonly long _number;
    private bool _isStored;
    private readonly bool _isInherited;
    private readonly ulong _key;
    private readonly List<byte> _bytes = [];
    private readonly List<HandedKind> _kinds = [];
    private readonly DescriptorSet _descriptors = new();
    private readonly IHandOverDecoder _decoder;
    private SnapshotEntry? _entry;
    private TenantGrant? _tenant;
    private IDisposable? _place;
    private bool _isTaking;
    private bool _isLetIn;
    private bool _isWatched;
    private bool _isAttaching;
    private bool _isLeaving;
    private bool _isCondemned;
    private bool _isEndWatched;
    private bool _isClosed;

    /// <summary>Takes the socket and the process over.</summary>
    /// <param name="loop">The front door's thread.</param>
    /// <param name="listener">Where it came in.</param>
    /// <param name="socket">The connection.</param>
    /// <param name="process">Who connected.</param>
    /// <param name="number">Under which it is stored.</param>
    /// <param name="isStored">Whether the next manager would find it.</param>
    /// <param name="isInherited">Whether an earlier manager had accepted it.</param>
    public SnapshotPeer(SnapshotLoop loop, SnapshotSocket listener, SafeSocketFd socket, PeerProcess process, long number, bool isStored, bool isInherited)
    {
        _number = number;
        _isStored = isStored;
        _isInherited = isInherited;
        _loop = loop;
        _listener = listener;
        _socket = socket;
        _process = process;
        _decoder = loop.Services.NewDecoder();
        _key = loop.Watch(this);
    }

    public long Deadline { get; private set; }

    private string TenantName => _tenant?.Name ?? "";

    /// <summary>Lets it in, or refuses it.</summary>
    /// <param name="isFull">Whether there are as many connections as there may be.</param>
    public void Begin(bool isFull)
    {
        if (_loop.IsLeaving)
        {
            Stop();
            return;
        }

        if (isFull)
        {
            TurnAway(PeerRefusal.ListenerFull, HandOverRefusal.Limit, "the manager has as many connections as it may");
            return;
        }

        _entry = _listener.Find(_process);
        if (_entry is null)
        {
            TurnAway(PeerRefusal.UnknownPeer, HandOverRefusal.NotAllowed, "no snapshot of this socket is meant for it");
            return;
        }

        _tenant = _loop.Services.Tenants.Find(_entry.Options.Tenant);
        if (_tenant is null)
        {
            TurnAway(PeerRefusal.UnknownPeer, HandOverRefusal.NotAllowed, $"the configuration does not know tenant {_entry.Options.Tenant} of snapshot {_entry.Name} any more");
            return;
        }

        _place = _tenant.TryEnter();
        if (_place is null || _loop.Blocking.IsClogged(TenantName))
        {
            TurnAway(PeerRefusal.ConnectionLimit, HandOverRefusal.Limit, $"tenant {TenantName} has {_tenant.Limits.Connections} connections, which is its limit, or its descriptors cannot be closed");
            return;
        }

        UnixSocket.PeekFromStart(_socket);

        // What has been looked at stays in the socket, which is therefore readable all the time: only what is new is to be told.
        Epoll.Add(_loop.Poll, _socket, EpollEvents.In | EpollEvents.ReadHangUp | EpollEvents.EdgeTriggered, _key);
        _isWatched = _isLetIn = true;
        _loop.Services.Telemetry.ConnectionOpened(SnapshotDoor.DoorName, TenantName);
        Deadline = _loop.ExpectWithin(this, _listener.Options.Timeout);
    }

    public void OnReady(EpollEvents events)
    {
        if (_isCondemned)
        {
            // Its end, or what its socket told in the same turn.
            AwaitEnd();
            return;
        }

        while (!_isClosed && !_isAttaching && TryPeek())
        {
        }
    }

    public void OnDeadline()
    {
        if (_isCondemned)
        {
            AwaitEnd();
            return;
        }

        _loop.Services.Telemetry.ProtocolError(SnapshotDoor.DoorName, ProtocolErrorReason.FirstMessageTimeout);
        Refuse(HandOverRefusal.Incomplete, $"its message did not come within {_listener.Options.Timeout.TotalSeconds:0.###} s");
    }

    public void Fail(Exception exception)
    {
        _loop.LogFailure(exception, _process.Identity, _listener.Options.Path);
        Refuse(HandOverRefusal.Failed, "the manager failed; its log says why");
    }

    /// <summary>The manager ends for good: what is complete is carried to its end, the rest refused.</summary>
    public void Stop()
    {
        if (!_isAttaching)
            Refuse(HandOverRefusal.Draining, "the manager is stopping");
    }

    /// <summary>Another manager goes on: what is complete is carried to its end, the rest left to that one.</summary>
    public void LeaveToSuccessor()
    {
        _isLeaving = _isStored;
        Stop();
    }

    /// <summary>The time for <see cref="Stop"/> or <see cref="LeaveToSuccessor"/> is over.</summary>
    public void LeaveNow()
    {
        if (_isCondemned)
            Dispose();
        else
            Refuse(HandOverRefusal.Draining, "the manager is stopping");
    }

    /// <summary>Closes the connection and what came over it.</summary>
    public void Dispose()
    {
        if (_isClosed)
            return;
        _isClosed = true;
        Deadline = 0;
        Unwatch();
        if (_isLetIn)
            _loop.Services.Telemetry.ConnectionClosed(SnapshotDoor.DoorName, TenantName);

        // Never here: close(2) of a file of a file system that the peer serves waits for the peer.
        _loop.Blocking.Close(TenantName, _descriptors);
        if (!_isLeaving)
            _loop.Keeper.RemovePeer(_listener.Number, _number);
        _socket.Dispose();
        _process.Dispose();
        _place?.Dispose();
        _loop.Forget(_key);
    }

    /// <returns>Whether there may be more.</returns>
    private bool TryPeek()
    {
        int before = _descriptors.Count;
        Errno errno = _isTaking
            ? UnixSocket.Receive(_socket, _loop.ReceiveBuffer, _descriptors, dontWait: true, out ReceivedMessage received)
            : UnixSocket.Peek(_socket, _loop.ReceiveBuffer, _descriptors, out received);
        if (errno == Errno.EAGAIN)
        {
            // A message that was sent in one piece has been complete before this.
            if (!_isTaking && _bytes.Count >= MostLookedAt)
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

        for (int i = before; i < _descriptors.Count; i++)
            _kinds.Add(HandedKinds.Of(_descriptors.Borrow(i)!));
        _bytes.AddRange(_loop.ReceiveBuffer.AsSpan(0, received.Length));
        if (received.ControlTruncated)
            return Break(ProtocolErrorReason.DescriptorsTruncated, "descriptors were lost on the way");
        if (_bytes.Count > SnapshotLoop.MaxMessage)
            return Break(ProtocolErrorReason.TooLong, $"its message is longer than {SnapshotLoop.MaxMessage} bytes");
        HandOverStep step = _decoder.Decode(CollectionsMarshal.AsSpan(_bytes), _kinds);
        if (step.Refusal is not null)
            return Break(_kinds.Contains(HandedKind.Userfaultfd) ? ProtocolErrorReason.BadBody : ProtocolErrorReason.BadDescriptor, step.Refusal);
        if (step.HandOver is null)
            return true;
        Take(step.HandOver);
        return false;
    }

    // From here on the connection alone is not enough to begin anew: it is not left to the next manager, and closed with this one, which a sender in the middle
    // of its message finds out.
    private void TakeWhatWasSeen()
    {
        _isTaking = true;
        _isStored = false;
        _loop.Keeper.RemovePeer(_listener.Number, _number);
        using DescriptorSet again = new();
        for (int left = _bytes.Count; left > 0;)
        {
            Errno errno = UnixSocket.Receive(_socket, _loop.ReceiveBuffer.AsSpan(0, Math.Min(left, _loop.ReceiveBuffer.Length)), again, dontWait: true, out ReceivedMessage received);
            if (errno != Errno.OK || received.Length == 0)
                throw new SyscallException(errno, "recvmsg", "what was there a moment ago");
            left -= received.Length;
        }
    }

    private bool Break(ProtocolErrorReason reason, string text)
    {
        _loop.Services.Telemetry.ProtocolError(SnapshotDoor.DoorName, reason);
        Refuse(HandOverRefusal.BadMessage, text);
        return false;
    }

    private void TurnAway(PeerRefusal reason, HandOverRefusal refusal, string text)
    {
        _loop.Services.Telemetry.PeerRefused(SnapshotDoor.DoorName, reason);
        Refuse(refusal, text);
    }

    private void Unwatch()
    {
        if (_isWatched)
            Epoll.Remove(_loop.Poll, _socket);
        if (_isEndWatched)
            _process.UnwatchEnd(_loop.Poll);
        _isWatched = _isEndWatched = false;
    }
}
