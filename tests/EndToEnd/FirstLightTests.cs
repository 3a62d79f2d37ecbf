using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests;

/// <summary>The whole way: a client's fault, seen and resolved by the daemon in another process.</summary>
public sealed class FirstLightTests
{
    private const ulong PageSize = 4096;

    [Fact]
    public async Task Client_reads_zeros_that_the_manager_gave_it()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(client, daemon.SocketPath);
        using (connection)
        {
            Assert.Equal(("everybody", "zero"), (welcome.Tenant, welcome.Policy));
            ulong address = client.Map("anon", 16 * PageSize).Address;
            connection.Ask<RegisteredMessage>(WireConnection.Register(address, 16 * PageSize));

            Assert.True(client.IsFilledWith(address, 16 * PageSize, 0));
            client.WriteByte(address + 5, 7);
            Assert.Equal(7, client.ReadByte(address + 5));

            StatusReplyMessage status = connection.Ask<StatusReplyMessage>(new StatusMessage());
            Assert.Equal(16ul, status.Faults);
            Assert.Equal(16 * PageSize, status.RegisteredBytes);
        }

        Assert.Contains("uffd_manager_faults_total{", await daemon.GetAsync("metrics"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Client_reads_the_file_that_it_handed_over()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, _) = WireConnection.Attach(client, daemon.SocketPath, "file");
        using (connection)
        {
            byte[] image = new byte[32 * PageSize];
            new Random(1).NextBytes(image);
            string path = Path.Combine(daemon.Directory, "image");
            await File.WriteAllBytesAsync(path, image);

            ulong address = client.Map("anon", (ulong)image.Length).Address;
            using Linux.SafeFile file = Linux.FileIo.Open(path, Linux.OpenFlags.ReadOnly);
            connection.Ask<RegisteredMessage>(WireConnection.Register(address, (ulong)image.Length, flags: RegisterFlags.SourceFd), file);
            Assert.Equal(ClientProcess.Hash(image), client.HashRange(address, (ulong)image.Length));
        }
    }
}
