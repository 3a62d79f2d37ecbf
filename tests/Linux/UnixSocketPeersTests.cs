using System.Globalization;
using System.Net.Sockets;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Linux.Tests;

public sealed class UnixSocketPeersTests
{
    [Fact]
    public void Peer_of_a_library_socket_is_known_with_its_groups()
    {
        (SafeSocketFd first, SafeSocketFd second) = UnixSocket.Pair(UnixSocketType.Stream);
        using Socket socket = UnixSocket.GiveAway(first);
        using (second)
        {
            PeerCredentials peer = UnixSocket.GetPeerCredentials(socket);
            Assert.Equal((Environment.ProcessId, ProcessInfo.EffectiveUid), (peer.Pid, peer.Uid));
            uint[] groups = [.. File.ReadLines("/proc/self/status").Single(line => line.StartsWith("Groups:", StringComparison.Ordinal))["Groups:".Length..]
                .Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries).Select(group => uint.Parse(group, CultureInfo.InvariantCulture))];
            Assert.Equal(groups, UnixSocket.GetPeerGroups(socket));
        }
    }

    [Fact]
    public void Socket_that_was_given_away_belongs_to_the_library()
    {
        (SafeSocketFd first, SafeSocketFd second) = UnixSocket.Pair(UnixSocketType.Stream);
        Socket socket = UnixSocket.GiveAway(first);
        Assert.True(first.IsClosed || first.IsInvalid);
        socket.Dispose();
        byte[] buffer = new byte[1];
        using (second)
        {
            Assert.Equal(Errno.OK, UnixSocket.Receive(second, buffer, new DescriptorSet(), dontWait: true, out ReceivedMessage message));
            Assert.True(message.EndOfStream);
        }
    }
}
