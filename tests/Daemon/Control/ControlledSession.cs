using UffdManager.EndToEnd.Tests;
using UffdManager.Protocol;
using UffdManager.TestSupport;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>A daemon, its control socket, and a client that has a session: what most tests of the control API begin with.</summary>
internal sealed class ControlledSession : IAsyncDisposable
{
    private ControlledSession(DaemonProcess daemon)
    {
        Daemon = daemon;
        Control = new ControlClient(daemon);
        Client = ClientProcess.Start();
        (Connection, WelcomeMessage welcome) = WireConnection.Attach(Client, daemon.SocketPath);
        Id = (long)welcome.SessionId;
    }

    public DaemonProcess Daemon { get; }

    public ControlClient Control { get; }

    public ClientProcess Client { get; }

    public WireConnection Connection { get; }

    /// <summary>The session's number.</summary>
    public long Id { get; }

    /// <summary>Starts all of them; arguments are those of <see cref="DaemonProcess.StartAsync"/>.</summary>
    public static async Task<ControlledSession> StartAsync(string? configuration = null, IReadOnlyDictionary<string, string>? environment = null)
    {
        DaemonProcess daemon = await DaemonProcess.StartAsync(configuration, environment);
        try
        {
            return new ControlledSession(daemon);
        }
        catch
        {
            await daemon.DisposeAsync();
            throw;
        }
    }

    /// <summary>Maps anonymous memory of the client and registers it.</summary>
    public ulong MapRegistered(ulong length)
    {
        ulong address = Client.Map("anon", length).Address;
        Connection.Ask<RegisteredMessage>(WireConnection.Register(address, length));
        return address;
    }

    public async ValueTask DisposeAsync()
    {
        Connection.Dispose();
        Client.Dispose();
        Control.Dispose();
        await Daemon.DisposeAsync();
    }
}
