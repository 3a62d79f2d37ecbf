using UffdManager.Control;
using UffdManager.Daemon.FrontDoors;
using UffdManager.Daemon.Telemetry;

namespace UffdManager.Daemon.Inspection;

/// <summary>Where the daemon listens.</summary>
internal sealed class DaemonSockets(NativeFrontDoor native, MetricsAddress metrics)
{
    /// <summary>Path of the control socket, and whether it came from the service manager; null while nothing listens there.</summary>
    public (string Address, bool IsInherited)? Control { get; set; }

    public IReadOnlyList<SocketDto> Read()
    {
        List<SocketDto> sockets = [new SocketDto { Name = NativeFrontDoor.DoorName, Address = native.Address, Inherited = native.IsInherited }];
        if (Control is { } control)
            sockets.Add(new SocketDto { Name = "control", Address = control.Address, Inherited = control.IsInherited });
        if (metrics.Bound is { } bound)
            sockets.Add(new SocketDto { Name = "metrics", Address = bound.ToString(), Inherited = false });
        return sockets;
    }
}
