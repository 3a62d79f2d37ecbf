using UffdManager.Daemon.Configuration;
using Xunit;

namespace UffdManager.Daemon.Tests.Configuration;

public sealed class ControlOptionsTests
{
    [Fact]
    public void Control_socket_lies_beside_the_native_one_unless_it_is_told_where()
    {
        Assert.Equal("/run/uffd-manager/control.sock", Layers.LoadValid(Layers.Minimal).Control.Socket);
        Assert.Equal("/srv/control.sock", Layers.LoadValid(Layers.Minimal, """{ "listen": { "socket": "/srv/m.sock" } }""").Control.Socket);
        Assert.Equal("/srv/c", Layers.LoadValid(Layers.Minimal, """{ "control": { "socket": "/srv/c" } }""").Control.Socket);
    }

    [Fact]
    public void Every_key_of_the_control_socket_is_read()
    {
        ManagerConfiguration configuration = Layers.LoadValid(Layers.Minimal, """
            { "control": { "enabled": false, "mode": "0600", "group": "0", "readUids": [1], "readGids": [2, 3], "adminUids": [4], "adminGids": [5] } }
            """);
        Assert.Equal((false, 0b110_000_000u, (uint?)0), (configuration.Control.Enabled, configuration.Control.Mode, configuration.Control.GroupId));
        ControlAccessOptions access = configuration.ControlAccess;
        Assert.Equal([1u], access.ReadUids);
        Assert.Equal([2u, 3u], access.ReadGids);
        Assert.Equal([4u], access.AdminUids);
        Assert.Equal([5u], access.AdminGids);
    }

    [Fact]
    public void Two_protocols_cannot_share_a_socket() =>
        Assert.Contains(Layers.Errors(Layers.Minimal, """{ "listen": { "socket": "/srv/s" }, "control": { "socket": "/srv/s" } }"""), error => error.StartsWith("control.socket: must not be listen.socket", StringComparison.Ordinal));
}
