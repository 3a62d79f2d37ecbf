using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Tenancy;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>
/// One peer. Belongs to the front door's thread. Messages are read one at a time: while a request is being carried out (or
/// <see cref="MaxPrefetches"/> PREFETCH are) nothing more is read, so a peer holds up nobody but itself, and what it can make the
/// manager remember is bounded by this class.
/// </summary>
internal sealed partial class Connection : IDoorMember
{
    private const int MaxPrefetches = 16;
    private const int MaxUnreadBytes = 256 * 1024;

    private readonly DoorLoop _loop;
    private readonly SafeSocketFd _socket;
    private readonly IDisposable _place;
    private readonly ulong _key;
    private EpollEvents _watched = EpollEvents.In;
    private bool _hungUp;
    private bool _busy;
    private bool _leaving;
    private int _prefetches;

    /// <summary>Takes the socket, the process and the tenant's place over.</summary>
    public Connection(DoorLoop loop, SafeSocketFd socket, PeerProcess peer, TenantGrant tenant, IDisposable place)
    {
        _loop = loop;
        _socket = socket;
        _place = place;
        Peer = peer;
        Tenant = tenant;
        _key = loop.Watch(this);
        try
        {
            Epoll.Add(loop.Poll, socket, _watched, _key);
        }
        catch (SyscallException)
        {
            loop.Forget(_key);
            throw;
        }

        Deadline = loop.ExpectWithin(this);
    }

    public PeerProcess Peer { get; }

    public TenantGrant Tenant { get; }

    public ConnectionState State { get; private set; }

    /// <summary>When the next step of the handshake is due; 0 once it is done.</summary>
    public long Deadline { get; private set; }

    /// <summary>The HELLO that led to <see cref="ConnectionState.Greeted"/>.</summary>
    public HelloMessage? Hello { get; private set; }

    /// <summary>The session, in <see cref="ConnectionState.Attached"/>.</summary>
    public SessionEntry? Entry { get; private set; }

    private bool CanReceive => State != ConnectionState.Closed && !_leaving && !_busy && _prefetches < MaxPrefetches;

    /// <summary>The device was handed out.</summary>
    public void Greet(HelloMessage hello)
    {
        if (State == ConnectionState.Closed)
            return;
        Hello = hello;
        State = ConnectionState.Greeted;
        Deadline = _loop.ExpectWithin(this);
    }

    /// <summary>Only status is wanted.</summary>
    public void EnterControl()
    {
        if (State == ConnectionState.Closed)
            return;
        State = ConnectionState.Control;
        Deadline = 0;
    }

    /// <summary>
    /// Binds the session to this connection, and away from one that it had. A connection that was closed while its session was being made, by
    /// us or by a peer that would not wait so long and has come again on another one, leaves it as it is.
    /// </summary>
    public void Attach(SessionEntry entry)
    {
        if (State == ConnectionState.Closed || _hungUp)
            return;
        Connection? former = entry.Connection;
        entry.Connection = this;
        Entry = entry;
        State = ConnectionState.Attached;
        Deadline = 0;
        former?.SayGoodbye(GoodbyeReason.SessionEnded, "the session speaks through another connection now");
    }

    /// <summary>epoll has something to tell.</summary>
    public void OnReady(EpollEvents events)
    {
        if ((events & EpollEvents.Out) != EpollEvents.None)
            Flush();
        if ((events & ~EpollEvents.Out) == EpollEvents.None || State == ConnectionState.Closed)
            return;
        if (CanReceive)
        {
            Receive();
            return;
        }

        // A hang-up cannot be masked: it would be reported without end until the request is done.
        if ((events & (EpollEvents.HangUp | EpollEvents.Err)) != EpollEvents.None)
        {
            Unwatch();
            _hungUp = true;
            return;
        }

        UpdateWatch();
    }

    public void OnDeadline()
    {
        if (State is not (ConnectionState.New or ConnectionState.Greeted))
            return;
        if (_busy)
        {
            // The manager is the slow one; if the request fails, the peer has the time once more.
            Deadline = _loop.ExpectWithin(this);
            return;
        }

        _loop.Services.Telemetry.ProtocolError(NativeFrontDoor.DoorName, ProtocolErrorReason.FirstMessageTimeout);
        _loop.LogPeer(Peer.Identity, Tenant.Name, "the handshake took too long");
        Close();
    }

    /// <summary>Something went wrong that no rule foresees: the connection ends, the session goes on.</summary>
    public void Fail(Exception exception)
    {
        _loop.LogFailure(exception, Peer.Identity, Tenant.Name, "of the connection");
        Close();
    }

    /// <summary>The last message of a connection.</summary>
    public void SayGoodbye(GoodbyeReason reason, string text)
    {
        Send(new GoodbyeMessage((uint)reason, text), 0, HeaderFlags.None, null);
        Close();
    }

    /// <summary>Another manager goes on: nothing more is read, and the connection is closed once what was asked is answered.</summary>
    public void Leave()
    {
        if (State == ConnectionState.Closed)
            return;
        _leaving = true;
        if (_busy || _prefetches > 0 || _outgoing.Count > 0)
            UpdateWatch();
        else
            Close();
    }

    /// <summary>The time for <see cref="Leave"/> is over.</summary>
    public void LeaveNow() => Close();

    private void Close()
    {
        if (State == ConnectionState.Closed)
            return;
        State = ConnectionState.Closed;
        Deadline = 0;

        // A process that inherited the socket keeps it open; what is still in the epoll set would then be reported under a reused number.
        if (!_hungUp)
            Unwatch();
        _loop.Discard(_socket, Tenant.Name);
        _socket.Dispose();
        DropOutgoing();
        Peer.Dispose();
        _place.Dispose();
        if (Entry is { } entry && entry.Connection == this)
            entry.Connection = null;
        _loop.Services.Telemetry.ConnectionClosed(NativeFrontDoor.DoorName, Tenant.Name);
        _loop.LogClosed(Peer.Identity, Tenant.Name);
        _loop.Forget(_key);
    }

    private void Unwatch()
    {
        try
        {
            Epoll.Remove(_loop.Poll, _socket);
        }
        catch (SyscallException)
        {
            // Not watched: then there is nothing to be reported under a reused number either.
        }
    }

    // Reading is switched off only when an event came that could not be used: a peer that waits for its answers costs no call at all.
    private void UpdateWatch()
    {
        if (State == ConnectionState.Closed)
            return;
        if (_hungUp)
        {
            // What the peer sent before it closed is still carried out, then the end of the stream closes this side.
            if (CanReceive)
                _loop.Post(() => DoorLoop.Guard(this, Receive));
            return;
        }

        EpollEvents wanted = (CanReceive ? EpollEvents.In : EpollEvents.None) | (_outgoing.Count > 0 ? EpollEvents.Out : EpollEvents.None);
        if (wanted == _watched)
            return;
        _watched = wanted;
        Epoll.Modify(_loop.Poll, _socket, wanted, _key);
    }
}
