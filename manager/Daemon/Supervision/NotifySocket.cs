using System.Text;
using Microsoft.Extensions.Logging;
using UffdManager.Linux;

namespace UffdManager.Daemon.Supervision;

/// <summary>
/// Messages to the service manager (sd_notify(3)): datagrams to the socket that it named in $NOTIFY_SOCKET. Fault loops send here, so no call waits: what does not
/// fit into the socket is queued, with duplicates of its descriptors, and sent in order by a thread of its own. Without a service manager every call does
/// nothing.
/// </summary>
internal sealed partial class NotifySocket : IDisposable
{
    /// <summary>The environment variable that names the socket.</summary>
    public const string Variable = "NOTIFY_SOCKET";

    private readonly Lock _gate = new();
    private readonly Queue<Pending> _queue = new();
    private readonly SemaphoreSlim _work = new(0);
    private readonly string? _address;
    private SafeSocketFd? _socket;
    private Action<string>? _problem;
    private string? _untold;
    private int _queuedDescriptors;
    private volatile bool _disposed;

    // There was room, and this process has sent nothing since; others of the same service manager may have.
    private volatile bool _hasRoom;

    /// <summary>Prepares to speak to a service manager.</summary>
    /// <param name="address">A path, or '@' and a name of the abstract namespace; null or empty when there is none.</param>
    public NotifySocket(string? address)
    {
        _address = string.IsNullOrEmpty(address) ? null : address;
        if (_address is not null and not ['/' or '@', ..])
        {
            Report($"${Variable} is \"{_address}\", which is neither a path nor an abstract name; the service manager is told nothing");
            _address = null;
        }
    }

    /// <summary>Whether there is a service manager, as far as is known.</summary>
    public bool IsOpen => _address is not null && !IsLost;

    /// <summary>Whether the service manager went away: what it kept is gone with it.</summary>
    public bool IsLost { get; private set; }

    /// <summary>Messages that wait for room in the socket.</summary>
    public int QueueLength
    {
        get
        {
            lock (_gate)
                return _queue.Count;
        }
    }

    /// <summary>Whether everything that was sent so far is in the service manager's socket, and stays there whatever becomes of this process.</summary>
    public bool IsSettled
    {
        get
        {
            // The head of the queue leaves it when it has been sent.
            lock (_gate)
                return _queue.Count == 0 && !_disposed;
        }
    }

    /// <summary>Whether a message that is sent now need not wait in this process; a hint, as the socket is not ours alone.</summary>
    public bool IsPrompt
    {
        get
        {
            // Fault loops ask before they read.
            if (_hasRoom)
                return true;
            lock (_gate)
            {
                if (_queue.Count > 0 || _disposed)
                    return false;
                if (_socket is null)
                    return true;
                using FdLease lease = _socket.Lease();
                return _hasRoom = FdPoll.IsWritable(lease);
            }
        }
    }

    /// <summary>Who is told, in a sentence, why messages do not arrive; called once for each reason, on whatever thread meets it.</summary>
    public void TellProblemsTo(Action<string> problem)
    {
        string? untold;
        lock (_gate)
        {
            _problem = problem;
            (untold, _untold) = (_untold, null);
        }

        if (untold is not null)
            problem(untold);
    }

    /// <summary>Sends a message, after all that were sent before; never waits.</summary>
    /// <param name="message">Lines of assignments, without a newline at the end.</param>
    /// <param name="descriptors">Go with it; they stay the caller's and may be closed as soon as the call returns.</param>
    /// <param name="isVital">Whether it is queued however many wait already.</param>
    public NotifyOutcome Send(string message, ReadOnlySpan<SafeFd> descriptors = default, bool isVital = false)
    {
        if (_address is null || _disposed)
            return NotifyOutcome.Refused;
        byte[] bytes = Encoding.UTF8.GetBytes(message);
        string? problem = null;
        NotifyOutcome outcome;
        lock (_gate)
        {
            _hasRoom = false;
            Errno errno = _queue.Count > 0 ? Errno.EAGAIN : TrySend(bytes, descriptors, dontWait: true);
            if (errno == Errno.OK)
                return NotifyOutcome.Sent;
            outcome = IsTransient(errno) ? Enqueue(bytes, descriptors, isVital, out problem) : Lose(errno, out problem);
        }

        if (problem is not null)
            Report(problem);
        return outcome;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_disposed)
                return;
            _disposed = true;
            _hasRoom = false;
            while (_queue.TryDequeue(out Pending? pending))
                pending.Dispose();
            if (_sender is null)
                _socket?.Dispose();
        }

        // A sender that is on its way closes the socket itself; the semaphore's wait handle was never asked for.
        _work.Release();
    }

    [LoggerMessage(1043, LogLevel.Error, "Service manager: {Problem}")]
    internal static partial void LogProblem(ILogger logger, string problem);

    private static bool IsTransient(Errno errno) => errno is Errno.EAGAIN or Errno.ENOBUFS or Errno.ENOMEM or Errno.ETOOMANYREFS;

    // A service manager that starts anew binds its socket anew: one more try with a new connection, which a datagram socket has at once.
    private Errno TrySend(byte[] bytes, ReadOnlySpan<SafeFd> descriptors, bool dontWait)
    {
        Errno errno = Errno.ENOTCONN;
        for (int attempt = 0; attempt < 2; attempt++)
        {
            try
            {
                _socket ??= Connect();
            }
            catch (SyscallException e)
            {
                return e.Errno;
            }

            errno = UnixSocket.Send(_socket, bytes, descriptors, dontWait);
            if (errno is not (Errno.ECONNREFUSED or Errno.ECONNRESET or Errno.ENOTCONN or Errno.EPIPE))
                return errno;
            _socket.Dispose();
            _socket = null;
        }

        return errno;
    }

    private SafeSocketFd Connect()
    {
        SafeSocketFd socket = UnixSocket.ConnectDatagram(_address!);
        UnixSocket.SetTimeout(socket, s_patience);
        return socket;
    }

    private NotifyOutcome Lose(Errno errno, out string? problem)
    {
        // EMSGSIZE and the like are about one message; without a socket at the other end everything is lost that was kept there.
        bool isGone = errno is Errno.ECONNREFUSED or Errno.ECONNRESET or Errno.ENOTCONN or Errno.EPIPE or Errno.ENOENT;
        problem = IsLost ? null : $"the service manager cannot be told anything at {_address}: {errno.Describe()}"
            + (isGone ? "; what it kept is lost, and sessions end with this process" : "");
        IsLost |= isGone;
        return NotifyOutcome.Refused;
    }

    private void Report(string problem)
    {
        Action<string>? tell;
        lock (_gate)
        {
            tell = _problem;
            if (tell is null)
                _untold = problem;
        }

        tell?.Invoke(problem);
    }
}
