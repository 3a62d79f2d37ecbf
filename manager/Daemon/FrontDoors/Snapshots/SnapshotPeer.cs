using System.Runtime.InteropServices;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Tenancy;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>
/// The process of a VM, from its connection to its session or its end. Belongs to the front door's thread.
/// </summary>
/// <remarks>
/// <para>What comes is looked at and left in the socket until the VM is a session: the connection alone is enough to begin anew. Only a message that comes in pieces is taken once it is longer than <see cref="MostLookedAt"/> bytes (<c>SnapshotPeer.Receive.cs</c>).</para>
/// <para>The VMM expects no answer. Once its message is in the socket it takes its memory for served; so who has handed over a userfaultfd and cannot be served is killed, or it would wait for
/// its first page for ever (<c>SnapshotPeer.Refuse.cs</c>). Who has not loses the connection, and its message fails.</para>
/// </remarks>
internal sealed partial class SnapshotPeer : IDoorMember, IDisposable
{
    private readonly SnapshotLoop _loop;
    private readonly SnapshotSocket _listener;
    private readonly SafeSocketFd _socket;
    private readonly PeerProcess _process;
    private readonly long _number;
    private readonly bool _isInherited;
    private readonly bool _wasTaken;
    private readonly ulong _key;
    private readonly List<byte> _bytes = [];
    private readonly List<HandedKind> _kinds = [];
    private DescriptorSet _descriptors = new();
    private IHandOverDecoder? _decoder;
    private bool _isStored;
    private bool _isMarked;
    private SnapshotEntry? _entry;
    private TenantGrant? _tenant;
    private IDisposable? _place;
    private long _messageDue;
    private bool _isServed;
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
    /// <param name="former">What an earlier manager had to do with it.</param>
    public SnapshotPeer(SnapshotLoop loop, SnapshotSocket listener, SafeSocketFd socket, PeerProcess process, long number, bool isStored, FormerManager former)
    {
        _number = number;
        _isStored = isStored;
        _isInherited = former != FormerManager.None;
        _isMarked = _wasTaken = former == FormerManager.HadTaken;
        _loop = loop;
        _listener = listener;
        _socket = socket;
        _process = process;
        _key = loop.Watch(this);
    }

    public long Deadline { get; private set; }

    private string TenantName => _tenant?.Name ?? "";

    /// <summary>Lets it in as soon as there is a place for it, or refuses it.</summary>
    public void Begin()
    {
        _entry = _listener.Find(_process);
        if (_wasTaken && _loop.Services.Sessions.FromPeer(_number).Any(IsOfThisProcess))
        {
            Finish();
            return;
        }

        if (_loop.TryLeave(this))
            return;

        if (_entry is null)
        {
            TurnAway(PeerRefusal.UnknownPeer, HandOverRefusal.NotAllowed, "no snapshot of this socket is meant for it");
            return;
        }

        _messageDue = _loop.ExpectWithin(this, _listener.Options.Timeout);
        LetIn(_entry);
    }

    public void OnReady(EpollEvents events)
    {
        if (_isCondemned)
        {
            // Its end, or what its socket told in the same turn.
            AwaitEnd();
            return;
        }

        ReceiveAll();
    }

    public void OnDeadline()
    {
        if (_isCondemned)
        {
            AwaitEnd();
            return;
        }

        if (!_isLetIn)
        {
            LetIn(_entry!);
            return;
        }

        if (Deadline < _messageDue)
        {
            bool isFirstDue = _firstDue != 0 && Deadline >= _firstDue;

            // Both are expected since the beginning.
            Deadline = _firstDue != 0 && !isFirstDue ? _firstDue : _messageDue;
            ReceiveAll();
            if (isFirstDue)
                EndHesitation();
            return;
        }

        if (_isShort)
        {
            Break(ProtocolErrorReason.DescriptorsTruncated, "there was no number left for its descriptors, or the kernel did not allow them");
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
        _isLeaving = _isStored && !_isTaking && !_wasTaken;
        if (_isLeaving && _isMarked)
        {
            // All of it is there still.
            _loop.Keeper.RemoveTaken(_listener.Number, _number);
            _isMarked = _isMarkSettled = false;
        }

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
            Unstore();
        _socket.Dispose();
        _process.Dispose();
        _place?.Dispose();
        _loop.Forget(_key, _listener, _process.Identity.Uid, isStranger: !_isServed);
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
