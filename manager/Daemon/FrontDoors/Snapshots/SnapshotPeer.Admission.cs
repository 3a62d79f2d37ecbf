using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Tenancy;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <content>How it gets a place.</content>
internal sealed partial class SnapshotPeer
{
    // Between two looks whether there is a place. Rare: who is not accepted yet waits at the socket (SnapshotSocket.Admission.cs).
    private static readonly TimeSpan s_nextLook = TimeSpan.FromMilliseconds(100);

    // A VMM connects with its message in hand, and its userfaultfd comes with the first bytes.
    private static readonly TimeSpan s_firstBytes = TimeSpan.FromSeconds(2);

    // Zero for no such end. Looks that are made in between are no reason to forget it.
    private long _firstDue;

    // Who was accepted without a place for it (by a manager with other limits; or another tenant of its socket has one) is stored with its message, and waits as long as any message may take.
    private void LetIn(SnapshotEntry entry)
    {
        // Its limits may have been raised meanwhile.
        _tenant = _loop.Services.Tenants.Find(entry.Options.Tenant);
        if (_tenant is null)
        {
            TurnAway(PeerRefusal.UnknownPeer, HandOverRefusal.NotAllowed, $"the configuration does not know tenant {entry.Options.Tenant} of snapshot {entry.Name} any more");
            return;
        }

        if (FindObstacle(_tenant) is { } obstacle)
        {
            if (_loop.DueIn(TimeSpan.Zero) >= _messageDue)
                TurnAway(obstacle.Reason, HandOverRefusal.Limit, obstacle.Text);
            else if (_process.IsAlive)
                Deadline = Math.Min(_loop.ExpectWithin(this, s_nextLook), _messageDue);
            else
                Dispose();
            return;
        }

        UnixSocket.PeekFromStart(_socket);

        // What has been looked at stays in the socket, which is therefore readable all the time: only what is new is to be told.
        Epoll.Add(_loop.Poll, _socket, EpollEvents.In | EpollEvents.ReadHangUp | EpollEvents.EdgeTriggered, _key);
        _isWatched = _isLetIn = true;
        _loop.Services.Telemetry.ConnectionOpened(SnapshotDoor.DoorName, TenantName);
        Deadline = _messageDue;
        if (_listener.IsCrowdedBy(_process.Identity.Uid) && _loop.DueIn(s_firstBytes) < _messageDue)
            Deadline = _firstDue = _loop.ExpectWithin(this, s_firstBytes);

        // Nothing more is waited for, and nothing that is there may be told of.
        if (_wasTaken)
            ReceiveAll();
    }

    private (PeerRefusal Reason, string Text)? FindObstacle(TenantGrant tenant)
    {
        if (_loop.IsOverfull)
            return (PeerRefusal.ListenerFull, $"the manager has its {_loop.Services.MaxConnections} connections: find out who connects and hands nothing over, or raise listen.maxConnections");
        _place ??= tenant.TryEnter();
        if (_place is null)
            return (PeerRefusal.ConnectionLimit, $"tenant {tenant.Name} has its {tenant.Limits.Connections} connections: find out who connects and hands nothing over, or raise tenants.{tenant.Name}.limits.connections");
        return _loop.Blocking.IsClogged(tenant.Name)
            ? (PeerRefusal.ConnectionLimit, $"descriptors that VMs of tenant {tenant.Name} sent cannot be closed: a file system of theirs does not answer")
            : null;
    }

    private void EndHesitation()
    {
        _firstDue = 0;
        if (_isClosed || _isCondemned || _isAttaching || _kinds.Contains(HandedKind.Userfaultfd) || _isShort)
            return;
        _loop.Services.Telemetry.ProtocolError(SnapshotDoor.DoorName, ProtocolErrorReason.FirstMessageTimeout);
        Refuse(
            HandOverRefusal.Incomplete,
            $"its userfaultfd did not come within {s_firstBytes.TotalSeconds:0} s, and uid {_process.Identity.Uid} has many connections at this socket that hand nothing over");
    }
}
