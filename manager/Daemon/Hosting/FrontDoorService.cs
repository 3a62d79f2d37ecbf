using Microsoft.Extensions.Hosting;
using UffdManager.Daemon.Cli;
using UffdManager.Daemon.Configuration;
using UffdManager.Linux;

namespace UffdManager.Daemon.Hosting;

/// <summary>Opens the front doors when the engine runs, and shuts them before it stops.</summary>
internal sealed class FrontDoorService(IEnumerable<IFrontDoor> doors, ListenOptions options, Readiness readiness) : IHostedService
{
    private readonly List<IFrontDoor> _open = [];

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        SocketDirectory.Make(options.Socket, "listen.socket");
        foreach (IFrontDoor door in doors)
        {
            try
            {
                // Stopped, too, when it was opened in part.
                _open.Add(door);
                await door.StartAsync();
            }
            catch (SyscallException e)
            {
                throw new StartException(
                    e.Errno is Errno.EACCES or Errno.EPERM ? ExitCode.Permission : ExitCode.CannotCreate,
                    $"front door {door.Name}: cannot listen on {options.Socket}: {e.Message}", e);
            }
        }
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        readiness.MarkStopping();
        await Task.WhenAll(_open.Select(door => door.StopAsync(cancellationToken)));
    }
}
