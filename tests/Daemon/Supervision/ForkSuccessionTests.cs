using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Supervision;

/// <summary>Programs that fork while the service manager's socket is full.</summary>
[Collection(SupervisionCollection.Name)]
public sealed class ForkSuccessionTests : SuccessionTest
{
    // The socket is not the manager's alone: another service, or whoever likes to, fills it.
    [Fact]
    public void Program_is_served_and_its_child_never_reads_zeros_when_others_fill_the_socket_of_the_service_manager()
    {
        ClientProcess child;
        (ulong address, _) = BeginWithFile(16, out SupervisedDaemon first);
        using (first)
        {
            first.WaitForLog("keeps the descriptors");
            Assert.Equal(1, Client.ReadByte(address));

            Manager.Fill();
            for (uint page = 1; page < 8; page++)
                Assert.Equal(page + 1, Client.ReadByte(address + (page * Page)));
            Client.Run("fork");
            child = Client.AcceptChild();
            Assert.Equal(9, child.ReadByte(address + (8 * Page)));
            first.End(Kill);
        }

        using (child)
        {
            Manager.Drain();
            using SupervisedDaemon second = SupervisedDaemon.StartReady(Folder, Manager);
            child.WaitForExit();
            second.WaitForLog("its userfaultfd was lost");
            Assert.Equal(10, Client.ReadByte(address + (9 * Page)));
        }
    }
}
