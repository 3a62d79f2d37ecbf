using System.Globalization;
using System.Text;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.TestSupport;

/// <summary>The socket at which a client and its children say hello.</summary>
internal sealed class ClientListener : IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly SafeSocketFd _socket;

    public ClientListener()
    {
        Path = _directory.Combine("client.sock");

        // Clients change their user in some tests and then fork.
        FileIo.ChangeMode(_directory.Path, 0b111_101_101);
        _socket = UnixSocket.Listen(Path, UnixSocketType.SeqPacket, 16, 0b110_110_110);
    }

    public string Path { get; }

    public (SafeSocketFd Channel, int Pid) Accept()
    {
        using (FdLease lease = _socket.Lease())
            Assert.True(FdPoll.WaitReadable(lease, Eventually.DefaultDeadline), "no client connected");
        SafeSocketFd channel = UnixSocket.TryAccept(_socket, out Errno errno) ?? throw new SyscallException(errno, "accept4", Path);
        using DescriptorSet none = new();
        byte[] hello = new byte[64];
        Errno received = UnixSocket.Receive(channel, hello, none, dontWait: false, out ReceivedMessage message);
        string text = Encoding.ASCII.GetString(hello, 0, message.Length);
        if (received != Errno.OK || !text.StartsWith("hello ", StringComparison.Ordinal))
        {
            channel.Dispose();
            throw new InvalidDataException($"The client said: {text}");
        }

        return (channel, int.Parse(text.AsSpan(6), CultureInfo.InvariantCulture));
    }

    public void Dispose()
    {
        _socket.Dispose();
        _directory.Dispose();
    }
}
