using Microsoft.Extensions.Hosting;
using UffdManager.Daemon.Cli;
using UffdManager.Daemon.Configuration;
using UffdManager.Linux;

namespace UffdManager.Daemon.Hosting;

/// <summary>Opens the front doors when the engine runs, and shuts them before it stops.</summary>
internal sealed class FrontDoorService(IEnumerable<IFrontDoor> doors, ListenOptions options, Readiness readiness) : IHostedService
{
    private const UnixFileMode Everybody = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
        | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute;

    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    private readonly List<IFrontDoor> _open = [];

    public Task StartAsync(CancellationToken cancellationToken)
    {
        MakeDirectory(Path.GetDirectoryName(options.Socket)!);
        foreach (IFrontDoor door in doors)
        {
            try
            {
                door.Start();
                _open.Add(door);
            }
            catch (SyscallException e)
            {
                throw new StartException(
                    e.Errno is Errno.EACCES or Errno.EPERM ? ExitCode.Permission : ExitCode.CannotCreate,
                    $"front door {door.Name}: cannot listen on {options.Socket}: {e.Message}", e);
            }
        }

        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        readiness.MarkStopping();
        await Task.WhenAll(_open.Select(door => door.StopAsync(cancellationToken)));
    }

    // Root's directory is open to look into, because the socket's own mode says who may connect; a user's directory is the user's.
    private static void MakeDirectory(string directory)
    {
        try
        {
            Directory.CreateDirectory(directory, Environment.IsPrivilegedProcess ? Everybody : OwnerOnly);
            if (!Environment.IsPrivilegedProcess)
                CheckOwner(directory);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new StartException(ExitCode.Permission, $"cannot create {directory}: {e.Message}; run as root or set listen.socket", e);
        }
        catch (IOException e)
        {
            throw new StartException(ExitCode.CannotCreate, $"cannot create {directory}: {e.Message}", e);
        }
    }

    // In /tmp somebody else may have made the directory first, to put a socket of his own into the place of ours.
    private static void CheckOwner(string directory)
    {
        Errno errno = FileIo.TryStat(directory, out FileStatus status);
        if (errno != Errno.OK || FileIo.TryStat($"/proc/{Environment.ProcessId}", out FileStatus self) != Errno.OK)
            return;

        if (!status.IsDirectory || (status.Uid != self.Uid && status.Uid != 0))
            throw new StartException(ExitCode.Permission, $"{directory} belongs to somebody else (uid {status.Uid}); set listen.socket");
    }
}
