using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>Pieces of a message that arrive while one is looked for: none with a userfaultfd is taken before it has been looked at, and marked.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class PieceRaceTests
{
    // manager: take a piece, look for the next: none   (it arrives)   take it
    // The second piece follows the first at another distance each time; with enough of them some arrive there.
    [Fact]
    public async Task Userfaultfd_that_arrives_when_nothing_was_seen_is_marked_before_it_is_taken()
    {
        const int Times = 200;
        const int Distances = 50;
        PacedStore store = new();
        await using SnapshotHost host = await SnapshotHost.StartAsync(""" "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "timeout": "60s" } """, store: store, maxConnections: 4096);
        using ClientProcess client = ClientProcess.Start();
        using SafeUffd uffd = client.OpenUffd(UffdOpenFlags.None, out _);
        string text = "[" + new string(' ', 200);
        List<SafeSocketFd> connections = [];
        try
        {
            for (int i = 0; i < Times; i++)
            {
                int number = (int)client.Run($"connect {host.SocketPath} 1");
                SafeSocketFd connection = client.Take<SafeSocketFd>(number);
                client.Run($"close {number}");
                connections.Add(connection);
                Send(connection, text);
                int taken = i + 1;
                Eventually.True(() => store.Removed.Count(IsPeer) == taken, "the text, which is nobody's memory, to be taken");
                Send(connection, " ");
                Thread.SpinWait(20 * (i % Distances));
                Send(connection, " ", uffd);
                Eventually.True(() => store.Stored.Count(IsMark) == taken, $"the mark of message {taken}");
            }
        }
        finally
        {
            connections.ForEach(connection => connection.Dispose());
        }

        static bool IsPeer(string name) => name.Contains("-peer-", StringComparison.Ordinal);
        static bool IsMark(string name) => name.Contains("-taken-", StringComparison.Ordinal);
        static void Send(SafeSocketFd connection, string piece, params SafeFd[] descriptors) =>
            Assert.Equal(Errno.OK, UnixSocket.Send(connection, System.Text.Encoding.UTF8.GetBytes(piece), descriptors, dontWait: false));
    }
}
