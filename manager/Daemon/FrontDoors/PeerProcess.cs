using System.Globalization;
using UffdManager.Daemon.Tenancy;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>
/// A process at the other end of a connection, held by a pidfd so that its number cannot become somebody else's unnoticed. Pid, start time and
/// pidfd name the same process: each is read while the pidfd says that it lives.
/// </summary>
internal sealed class PeerProcess : IDisposable
{
    // Not in every kernel.
    private static readonly bool s_hasCgroups = File.Exists("/proc/self/cgroup");

    private SafePidFd? _pidFd;

    private PeerProcess(PeerIdentity identity, ulong startTime, SafePidFd pidFd)
    {
        Identity = identity;
        StartTime = startTime;
        _pidFd = pidFd;
    }

    /// <summary>What tenants are matched by.</summary>
    public PeerIdentity Identity { get; }

    public int Pid => Identity.Pid;

    /// <summary>Clock ticks since boot.</summary>
    public ulong StartTime { get; }

    /// <summary>Identifies who connected.</summary>
    /// <returns>Null if the process has gone or lies outside the pid namespace; the uid is then all that is known.</returns>
    public static PeerProcess? TryIdentify(SafeSocketFd socket, out uint uid) => TryIdentify(socket, out uid, out _);

    /// <summary>Identifies who connected.</summary>
    /// <param name="socket">The connection.</param>
    /// <param name="uid">Of the process; known in any case.</param>
    /// <param name="errno">Why not: ESRCH it has gone, ECHILD it lies outside the pid namespace; anything else is lack of descriptors or memory, and may be over in a moment.</param>
    public static PeerProcess? TryIdentify(SafeSocketFd socket, out uint uid, out Errno errno) => TryIdentify(socket, UnixSocket.TryGetPeerPidFd, ProcessInfo.ReadCgroup, out uid, out errno);

    /// <summary>Identifies who connected.</summary>
    /// <param name="socket">The connection.</param>
    /// <param name="findPeer">Gives a pidfd of who connected, as <see cref="UnixSocket.TryGetPeerPidFd"/> does.</param>
    /// <param name="readCgroup">Tells the cgroup of a process, as <see cref="ProcessInfo.ReadCgroup"/> does.</param>
    /// <param name="uid">Of the process; known in any case.</param>
    /// <param name="errno">Why not; as above.</param>
    internal static PeerProcess? TryIdentify(SafeSocketFd socket, PeerPidFdSource findPeer, Func<int, string?> readCgroup, out uint uid, out Errno errno)
    {
        PeerCredentials credentials = UnixSocket.GetPeerCredentials(socket);
        uid = credentials.Uid;
        errno = Errno.ECHILD;
        if (credentials.Pid <= 0)
            return null;

        SafePidFd? pidFd = findPeer(socket, out errno);
        bool isNumberAll = errno == Errno.ENOPROTOOPT;
        if (isNumberAll)
        {
            pidFd = PidFd.TryOpen(credentials.Pid, out errno);
        }
        else if (pidFd is null && errno is not (Errno.EMFILE or Errno.ENFILE or Errno.ENOMEM))
        {
            // It has been reaped, and its number may be somebody else's by now, who must be neither served nor ended in its place.
            errno = Errno.ESRCH;
        }

        if (pidFd is null)
            return null;
        PeerProcess? process = Hold(credentials.Pid, credentials.Uid, credentials.Gid, pidFd, isNumberAll, readCgroup, out bool isAlive);
        if (process is null)
            errno = isAlive ? Errno.EAGAIN : Errno.ESRCH;
        return process;
    }

    /// <summary>
    /// The parent of this process, on whose behalf it speaks. Refused unless it has the same effective uid, and is still the parent after its
    /// pidfd was opened.
    /// </summary>
    public PeerProcess? TryIdentifyParent()
    {
        if (!ProcessInfo.TryReadParent(Pid, out int parent) || parent <= 1)
            return null;
        if (PidFd.TryOpen(parent, out _) is not { } pidFd)
            return null;
        PeerProcess? process = Hold(parent, Identity.Uid, Identity.Gid, pidFd, isNumberAll: false, ProcessInfo.ReadCgroup, out _);
        if (process is null)
            return null;
        if (ReadEffectiveUid(parent) == Identity.Uid && ProcessInfo.TryReadParent(Pid, out int again) && again == parent && process.IsAlive && IsAlive)
            return process;
        process.Dispose();
        return null;
    }

    public bool IsAlive => _pidFd is { } pidFd && !PidFd.HasExited(pidFd);

    /// <summary>Gives the pidfd away; the caller owns it.</summary>
    public SafePidFd TakePidFd()
    {
        SafePidFd pidFd = _pidFd ?? throw new InvalidOperationException("The pidfd was taken before.");
        _pidFd = null;
        return pidFd;
    }

    /// <summary>One more pidfd of it, owned by the caller.</summary>
    public SafePidFd DuplicatePidFd() => (_pidFd ?? throw new InvalidOperationException("The pidfd was taken before.")).Duplicate<SafePidFd>();

    /// <summary>Ends it with SIGKILL.</summary>
    /// <returns>ESRCH it is gone already; EPERM not allowed.</returns>
    public Errno Kill() => PidFd.SendSignal(_pidFd ?? throw new InvalidOperationException("The pidfd was taken before."), Signals.Kill);

    /// <summary>Reports its end under a key.</summary>
    /// <exception cref="SyscallException">ENOMEM, ENOSPC.</exception>
    public void WatchEnd(SafeEpoll poll, ulong key) => Epoll.Add(poll, _pidFd ?? throw new InvalidOperationException("The pidfd was taken before."), EpollEvents.In, key);

    /// <summary>Ends <see cref="WatchEnd"/>.</summary>
    public void UnwatchEnd(SafeEpoll poll) => Epoll.Remove(poll, _pidFd ?? throw new InvalidOperationException("The pidfd was taken before."));

    /// <summary>The same process, held by a pidfd of its own.</summary>
    public PeerProcess Duplicate() => new(Identity, StartTime, DuplicatePidFd());

    public void Dispose() => _pidFd?.Dispose();

    // Before 6.5 the number is all there is. It is checked to have named one process from here on; who may have had it before is not known, but never is a process meant that is of another user altogether.
    private static PeerProcess? Hold(int pid, uint uid, uint gid, SafePidFd pidFd, bool isNumberAll, Func<int, string?> readCgroup, out bool isAlive)
    {
        IReadOnlyList<uint>? uids = isNumberAll ? ReadUids(pid) : null;
        if (uids is not null && !uids.Contains(uid))
        {
            isAlive = false;
            pidFd.Dispose();
            return null;
        }

        if ((!isNumberAll || uids is not null) && ProcessInfo.TryReadStartTime(pid, out ulong startTime))
        {
            // What is for a cgroup must not pass for what is for everybody because there was no descriptor left to read it with.
            string? cgroup = readCgroup(pid);
            var process = new PeerProcess(new PeerIdentity(pid, uid, gid, cgroup), startTime, pidFd);
            if ((cgroup is not null || !s_hasCgroups) && process.IsAlive && ProcessInfo.TryReadStartTime(pid, out ulong again) && again == startTime)
            {
                isAlive = true;
                return process;
            }
        }

        isAlive = !PidFd.HasExited(pidFd);
        pidFd.Dispose();
        return null;
    }

    /// <summary>
    /// Whether the process is kept from files of the manager by their permissions: none of its user ids, of which it may take any, is root or the manager's own, and it has not the
    /// right to go past them (CAP_DAC_OVERRIDE). What cannot be read is no.
    /// </summary>
    public bool IsBoundByPermissions()
    {
        const ulong DacOverride = 1UL << 1;
        bool isOther = false;
        bool isBound = false;
        try
        {
            foreach (string line in File.ReadLines($"/proc/{Pid}/status"))
            {
                string[] fields = line.Split('\t');
                if (fields[0] == "Uid:")
                    isOther = fields[1..].All(uid => uint.TryParse(uid, NumberStyles.None, CultureInfo.InvariantCulture, out uint id) && id != 0 && id != ProcessInfo.EffectiveUid);
                else if (fields[0] == "CapPrm:")
                    isBound = ulong.TryParse(fields[1], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong permitted) && (permitted & DacOverride) == 0;
            }
        }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
        {
            return false;
        }

        return isOther && isBound;
    }

    private static uint? ReadEffectiveUid(int pid) => ReadUids(pid)?[1];

    // Real, effective, saved, file system. Null if it is gone, or nothing can be read for the moment.
    private static uint[]? ReadUids(int pid)
    {
        try
        {
            foreach (string line in File.ReadLines($"/proc/{pid}/status"))
            {
                string[] fields = line.Split('\t');
                if (fields[0] == "Uid:")
                    return [.. fields[1..].Select(uid => uint.Parse(uid, CultureInfo.InvariantCulture))];
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // What is known of it otherwise says which.
        }

        return null;
    }
}
