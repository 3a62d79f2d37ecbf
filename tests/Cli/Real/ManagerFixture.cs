using UffdManager.EndToEnd.Tests;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Cli.Tests.Real;

/// <summary>A real manager that serves one real client with one region, of which the first quarter has been touched.</summary>
public sealed class ManagerFixture : IAsyncLifetime
{
    public const ulong PageBytes = 4096;
    public const ulong Pages = 64;

    private DaemonProcess? _daemon;
    private ClientProcess? _client;
    private WireConnection? _connection;

    /// <summary>The manager's control socket.</summary>
    public string ControlSocket => Path.Combine(Daemon.Directory, "control.sock");

    /// <summary>The manager.</summary>
    public DaemonProcess Daemon => _daemon!;

    /// <summary>Its client.</summary>
    public ClientProcess Client => _client!;

    /// <summary>Where the region begins.</summary>
    public ulong Address { get; private set; }

    /// <summary>Id of the session.</summary>
    public long Session { get; private set; }

    /// <summary>Whether there is a manager: tests that need one begin with asking.</summary>
    public static void Required() => Require.Root();

    public async Task InitializeAsync()
    {
        // Without root the tests are skipped, one by one.
        if (!Environment.IsPrivilegedProcess)
            return;
        _daemon = await DaemonProcess.StartAsync(environment: new Dictionary<string, string>
        {
            ["UFFD_MANAGER__control__mode"] = "0666",
            ["UFFD_MANAGER__control__readUids"] = "65534",
        });
        _client = ClientProcess.Start();
        (_connection, Protocol.WelcomeMessage welcome) = WireConnection.Attach(_client, _daemon.SocketPath);
        Session = (long)welcome.SessionId;
        Address = _client.Map("anon", Pages * PageBytes).Address;
        _connection.Ask<Protocol.RegisteredMessage>(WireConnection.Register(Address, Pages * PageBytes));
        for (ulong page = 0; page < Pages / 4; page++)
            Assert.Equal(0, _client.ReadByte(Address + (page * PageBytes)));
    }

    public async Task DisposeAsync()
    {
        _connection?.Dispose();
        _client?.Dispose();
        if (_daemon is not null)
            await _daemon.DisposeAsync();
    }

    /// <summary>Runs a command against this manager.</summary>
    internal Task<Uffdctl> RunAsync(params string[] arguments) => Uffdctl.RunAsync(arguments, new() { ["UFFD_MANAGER_CONTROL"] = ControlSocket });
}
