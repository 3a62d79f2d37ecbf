using UffdManager.Daemon.Hosting;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>The thread of the native front door. All connections and the session directory belong to it.</summary>
internal sealed partial class DoorLoop : DoorThread
{
    private static readonly TimeSpan s_sweepPeriod = TimeSpan.FromSeconds(10);

    private readonly LogThrottle _logThrottle;
    private DoorListener? _listener;
    private long _nextSweep;
    private bool _stopping;

    public DoorLoop(DoorServices services)
        : base("front door", services.Time)
    {
        Services = services;
        Handler = new RequestHandler(services, this);
        _logThrottle = new LogThrottle(burst: 10, refill: TimeSpan.FromSeconds(6), services.Time);
    }

    public DoorServices Services { get; }

    public RequestHandler Handler { get; }

    public SessionDirectory Sessions => Services.Sessions;

    public ImageCatalog Images => Services.Images;

    /// <summary>Where every message is received, looked at and left behind before the next one comes.</summary>
    public byte[] ReceiveBuffer { get; } = new byte[ProtocolLimits.MaxMessage];

    /// <summary>Where every message is encoded.</summary>
    public byte[] SendBuffer { get; } = new byte[ProtocolLimits.MaxMessage];

    protected override long NextDue => Math.Min(Sessions.Count > 0 ? _nextSweep : long.MaxValue, _leaveBy != 0 ? _leaveBy : long.MaxValue);

    private static string Door => NativeFrontDoor.DoorName;

    /// <summary>Begins to serve; takes the listening socket over.</summary>
    public void Start(SafeSocketFd listener)
    {
        _listener = new DoorListener(this, listener, Admit, AcceptFailed);
        _nextSweep = DueIn(s_sweepPeriod);
        StartThread();
    }

    /// <summary>Says goodbye to everybody and ends the thread; from any thread.</summary>
    public Task StopAsync()
    {
        Post(Stop);
        return Stopped;
    }

    /// <summary>A session is over: its connection is told, its token forgotten. On the front door's thread.</summary>
    public void EndSession(Session session, SessionEndReason reason)
    {
        if (Sessions.Find(session) is not { } entry)
            return;
        Connection? connection = entry.Connection;
        Sessions.Remove(entry);
        if (connection is null || reason == SessionEndReason.Bye)
            return;
        bool killed = reason == SessionEndReason.ClientKilled;
        Guard(connection, () => connection.SayGoodbye(
            killed ? GoodbyeReason.Killed : GoodbyeReason.SessionEnded,
            killed ? "the process was killed because a page could not be had" : "the process is gone"));
    }

    public void Forget(ulong key)
    {
        Unwatch(key);
        _open--;
        _listener?.Resume();
    }

    /// <summary>Closes the connection unless it has got on by then.</summary>
    public long ExpectWithin(Connection connection) => ExpectWithin(connection, Services.Options.FirstMessageTimeout);

    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        _device?.Dispose();
    }

    protected override void OnTurn(long now)
    {
        Leave(now);
        if (_nextSweep > now)
            return;
        _nextSweep = DueIn(s_sweepPeriod);
        foreach (SessionEntry entry in Sessions.Ended())
            EndSession(entry.Session, SessionEndReason.ClientExited);
    }

    private void Stop()
    {
        if (_stopping)
            return;
        _stopping = true;
        End();
        CloseListener();
        foreach (Connection connection in Open())
            Guard(connection, () => connection.SayGoodbye(GoodbyeReason.ShuttingDown, "the manager is stopping"));
        Sessions.Clear();
    }
}
