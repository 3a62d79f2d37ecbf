using UffdManager.Daemon.Cli;
using UffdManager.Linux;

namespace UffdManager.Daemon.Hosting;

/// <summary>Makes the directory that a socket is to lie in.</summary>
internal static class SocketDirectory
{
    private const UnixFileMode Everybody = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
        | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute;

    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    /// <summary>
    /// Root's directory is open to look into, because the socket's own mode says who may connect; a user's directory is the user's.
    /// </summary>
    /// <param name="socket">Path of the socket.</param>
    /// <param name="key">Setting that it came from.</param>
    /// <exception cref="StartException">It cannot be made, or is somebody else's.</exception>
    public static void Make(string socket, string key)
    {
        string directory = Path.GetDirectoryName(socket)!;
        try
        {
            Directory.CreateDirectory(directory, Environment.IsPrivilegedProcess ? Everybody : OwnerOnly);
            if (!Environment.IsPrivilegedProcess)
                CheckOwner(directory, key);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new StartException(ExitCode.Permission, $"cannot create {directory}: {e.Message}; run as root or set {key}", e);
        }
        catch (IOException e)
        {
            throw new StartException(ExitCode.CannotCreate, $"cannot create {directory}: {e.Message}", e);
        }
    }

    // In /tmp somebody else may have made the directory first, to put a socket of his own into the place of ours.
    private static void CheckOwner(string directory, string key)
    {
        Errno errno = FileIo.TryStat(directory, out FileStatus status);
        if (errno != Errno.OK || FileIo.TryStat($"/proc/{Environment.ProcessId}", out FileStatus self) != Errno.OK)
            return;

        if (!status.IsDirectory || (status.Uid != self.Uid && status.Uid != 0))
            throw new StartException(ExitCode.Permission, $"{directory} belongs to somebody else (uid {status.Uid}); set {key}");
    }
}
