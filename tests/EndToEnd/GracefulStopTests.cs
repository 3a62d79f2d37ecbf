using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests;

/// <summary>What SIGTERM does to clients that are alive, and what the log says of each.</summary>
public sealed class GracefulStopTests
{
    private const ulong Length = 16 * 4096;

    [Fact]
    public async Task Stop_without_clients_exits_0_and_removes_the_socket()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        Assert.True(File.Exists(daemon.SocketPath));
        Assert.Equal(0, await daemon.StopAsync());
        Assert.False(File.Exists(daemon.SocketPath));
    }

    [Fact]
    public async Task Stop_releases_a_client_whose_pages_are_all_zero()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(client, daemon.SocketPath);
        using (connection)
        {
            ulong address = client.Map("anon", Length).Address;
            connection.Ask<RegisteredMessage>(WireConnection.Register(address, Length));
            client.WriteByte(address, 1);

            Assert.Equal(0, await daemon.StopAsync());

            GoodbyeMessage goodbye = Assert.IsType<GoodbyeMessage>(connection.Receive());
            Assert.Equal(GoodbyeReason.ShuttingDown, goodbye.Reason);
            await daemon.WaitForLogAsync($"Session {welcome.SessionId} of pid {client.Pid} released");
            Assert.Equal(1, client.ReadByte(address));
            Assert.True(client.IsFilledWith(address + 4096, Length - 4096, 0));
        }
    }

    [Fact]
    public async Task Stop_kills_a_client_that_would_read_zeros_in_place_of_its_file()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(client, daemon.SocketPath, "file");
        using (connection)
        {
            RegisterFile(daemon, client, connection);

            Assert.Equal(0, await daemon.StopAsync());

            client.WaitForExit();
            await daemon.WaitForLogAsync($"Session {welcome.SessionId} of pid {client.Pid} ended, the client was killed");
        }
    }

    [Fact]
    public async Task Stop_leaves_a_client_to_its_keeper()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, WelcomeMessage welcome) =
            WireConnection.Attach(client, daemon.SocketPath, "file", HelloFlags.KeepsDescriptor);
        using (connection)
        {
            ulong address = RegisterFile(daemon, client, connection);

            Assert.Equal(0, await daemon.StopAsync());

            await daemon.WaitForLogAsync($"Session {welcome.SessionId} of pid {client.Pid} left to its keeper");
            PendingReply read = client.Begin($"read {address}");
            Eventually.Never(() => read.IsCompleted, TimeSpan.FromMilliseconds(200), "a fault that nobody serves was resolved");
            Assert.False(client.HasExited);
        }
    }

    private static ulong RegisterFile(DaemonProcess daemon, ClientProcess client, WireConnection connection)
    {
        string path = Path.Combine(daemon.Directory, "image");
        File.WriteAllBytes(path, Enumerable.Repeat((byte)0x5A, (int)Length).ToArray());
        using SafeFile file = FileIo.Open(path, OpenFlags.ReadOnly);
        ulong address = client.Map("anon", Length).Address;
        connection.Ask<RegisteredMessage>(WireConnection.Register(address, Length, flags: RegisterFlags.SourceFd), file);
        return address;
    }
}
