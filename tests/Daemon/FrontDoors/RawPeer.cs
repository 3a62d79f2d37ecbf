using UffdManager.Linux;
using UffdManager.Protocol;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors;

/// <summary>A peer that may send what it likes.</summary>
internal sealed class RawPeer : IDisposable
{
    private readonly SafeSocketFd _socket;
    private readonly byte[] _buffer = new byte[ProtocolLimits.MaxMessage];
    private readonly DescriptorSet _received = new();

    public RawPeer(string socketPath)
    {
        _socket = UnixSocket.Connect(socketPath, UnixSocketType.SeqPacket);
        UnixSocket.SetTimeout(_socket, TimeSpan.FromSeconds(20));
    }

    public static HelloMessage Hello(HelloFlags flags, ulong token = 0, string policy = "") => new(1, 1, flags, 0, token, "raw", policy);

    public static byte[] Encode(Message message, uint requestId = 1, HeaderFlags flags = HeaderFlags.None)
    {
        byte[] buffer = new byte[ProtocolLimits.MaxMessage];
        return buffer[..MessageCodec.Encode(message, requestId, flags, buffer)];
    }

    public Errno TrySend(ReadOnlySpan<byte> bytes, params SafeFd[] descriptors) => UnixSocket.Send(_socket, bytes, descriptors, dontWait: false);

    public void Send(ReadOnlySpan<byte> bytes, params SafeFd[] descriptors) => Assert.Equal(Errno.OK, TrySend(bytes, descriptors));

    /// <summary>The next message, or null at the end of the connection; anything else fails the test.</summary>
    public (MessageHeader Header, Message Message)? Receive()
    {
        _received.Clear();
        Errno errno;
        ReceivedMessage received;
        do
            errno = UnixSocket.Receive(_socket, _buffer, _received, dontWait: false, out received);
        while (errno == Errno.ECONNRESET);
        Assert.Equal(Errno.OK, errno);
        if (received.EndOfStream)
            return null;
        Assert.Equal(
            DecodeError.None,
            MessageCodec.Decode(_buffer.AsSpan(0, received.Length), _received.Count, out MessageHeader header, out Message? message));
        return (header, message!);
    }

    public T Receive<T>()
        where T : Message => Assert.IsType<T>(Receive()?.Message);

    public T Ask<T>(Message message, params SafeFd[] descriptors)
        where T : Message
    {
        Send(Encode(message), descriptors);
        return Receive<T>();
    }

    /// <summary>The connection is closed by the other side, after whatever it still says.</summary>
    public void ExpectEnd()
    {
        while (Receive() is not null)
        {
        }
    }

    public void Dispose()
    {
        _received.Dispose();
        _socket.Dispose();
    }
}
