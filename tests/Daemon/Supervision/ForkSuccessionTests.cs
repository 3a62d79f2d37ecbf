using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Supervision;

/// <summary>Programs that fork while the service manager's socket is full.</summary>
[Collection(SupervisionCollection.Name)]
public sealed class ForkSuccessionTests : IDisposable
{
    private const int Kill = 9;
    private const ulong Page = 4096;

    private readonly SupervisedFolder _folder = new();
    private readonly FakeServiceManager _manager = new();
    private readonly ClientProcess _client = ClientProcess.Start();

    public void Dispose()
    {
        _client.Dispose();
        _manager.Dispose();
        _folder.Dispose();
    }

    // The socket is not the manager's alone: another service, or whoever likes to, fills it.
    [Fact]
    public void Program_is_served_and_its_child_never_reads_zeros_when_others_fill_the_socket_of_the_service_manager()
    {
        ulong address = _client.Map("anon", 16 * Page).Address;
        ClientProcess child;
        using (SupervisedDaemon first = SupervisedDaemon.StartReady(_folder, _manager))
        {
            first.WaitForLog("keeps the descriptors");
            (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(_client, _folder.Socket, "file");
            using (connection)
            using (SafeFile source = FileIo.Open(_folder.MakeSource(16), OpenFlags.ReadOnly))
                connection.Ask<RegisteredMessage>(WireConnection.Register(address, 16 * Page, flags: RegisterFlags.SourceFd), source);
            _manager.WaitForName($"session-{welcome.SessionId}");
            Assert.Equal(1, _client.ReadByte(address));

            _manager.Fill();
            for (uint page = 1; page < 8; page++)
                Assert.Equal(page + 1, _client.ReadByte(address + (page * Page)));
            _client.Run("fork");
            child = _client.AcceptChild();
            Assert.Equal(9, child.ReadByte(address + (8 * Page)));
            first.End(Kill);
        }

        using (child)
        {
            _manager.Drain();
            using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
            child.WaitForExit();
            second.WaitForLog("its userfaultfd was lost");
            Assert.Equal(10, _client.ReadByte(address + (9 * Page)));
        }
    }
}
