using UffdManager.Daemon.Configuration;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>What to do about a socket that cannot be made.</summary>
internal static class SocketProblem
{
    /// <summary>The remedy for an error, as a clause.</summary>
    public static string RemedyFor(Errno errno, SnapshotSocketOptions options) => errno switch
    {
        Errno.ENOENT => "make the directory first",
        Errno.ESTALE => "something else was put into the place of its directory while it was made: serve it again",
        Errno.EADDRINUSE => "somebody listens there: choose another path, or end that program",
        Errno.EEXIST => "something that is no socket is there, and is not removed: choose another path",
        Errno.EPERM when options.Uid is not null || options.Gid is not null =>
            "to give a socket to another owner the manager needs CAP_CHOWN: install the drop-in jailer.conf, or name an owner or group that the manager is or belongs to",
        Errno.ENOSPC or Errno.EDQUOT => "the file system of its directory has no room for one more file: make room, or choose another path",
        Errno.EROFS => "the manager may write in its own directories only: name this one in ReadWritePaths= of its unit, as the drop-in jailer.conf does",
        Errno.EACCES => "the manager must be able to write in the directory: give it to the manager's group, or grant CAP_DAC_OVERRIDE, as the drop-in jailer.conf does",
        _ => "the daemon must be able to write in the directory, and to give the socket to its owner",
    };
}
