using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests;

/// <summary>
/// A connection to the manager that a client process made, spoken by the test: the manager sees the client's credentials.
/// </summary>
public sealed class WireConnection : IDisposable
{
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(30);

    private readonly SafeSocketFd _socket;
    private readonly byte[] _buffer = new byte[ProtocolLimits.MaxMessage];
    private readonly DescriptorSet _received = new();
    private uint _lastRequest;

    private WireConnection(SafeSocketFd socket)
    {
        _socket = socket;
        UnixSocket.SetTimeout(socket, s_deadline);
    }

    /// <summary>Lets a client connect and takes the connection over.</summary>
    public static WireConnection Open(ClientProcess client, string socketPath)
    {
        int number = (int)client.Run($"connect {socketPath}");
        WireConnection connection = new(client.Take<SafeSocketFd>(number));
        client.Run($"close {number}");
        return connection;
    }

    /// <summary>Connects, hands a userfaultfd of the client over and expects to be welcome.</summary>
    public static (WireConnection Connection, WelcomeMessage Welcome) Attach(
        ClientProcess client, string socketPath, string policy = "", HelloFlags more = HelloFlags.None)
    {
        WireConnection connection = Open(client, socketPath);
        using SafeUffd uffd = client.OpenUffd(UffdOpenFlags.None, out int number);
        WelcomeMessage welcome = connection.Ask<WelcomeMessage>(Hello(HelloFlags.HasUffd | more, policy), uffd);
        if (!more.HasFlag(HelloFlags.KeepsDescriptor))
            client.Run($"close {number}");
        return (connection, welcome);
    }

    /// <summary>A HELLO of this protocol version.</summary>
    public static HelloMessage Hello(HelloFlags flags, string policy = "") =>
        new(ProtocolLimits.Version, ProtocolLimits.Version, flags, RequestedFeatures: 0, Token: 0, "test", policy);

    /// <summary>A REGISTER of missing pages with the session's default policy, or another.</summary>
    public static RegisterMessage Register(ulong start, ulong length, string policy = "", string source = "", RegisterFlags flags = RegisterFlags.None) =>
        new(start, length, RegisterModes.Missing, flags, SourceOffset: 0, MapId: 0, policy, source);

    /// <summary>Sends a request; descriptors are borrowed.</summary>
    public void Send(Message message, params SafeFd[] descriptors)
    {
        int length = MessageCodec.Encode(message, ++_lastRequest, HeaderFlags.None, _buffer);
        Assert.Equal(Errno.OK, UnixSocket.Send(_socket, _buffer.AsSpan(0, length), descriptors, dontWait: false));
    }

    /// <summary>The next message, or null at the end of the stream.</summary>
    public Message? Receive()
    {
        _received.Clear();
        Errno errno = UnixSocket.Receive(_socket, _buffer, _received, dontWait: false, out ReceivedMessage received);
        if (received.EndOfStream || errno == Errno.ECONNRESET)
            return null;
        Assert.Equal(Errno.OK, errno);
        Assert.Equal(DecodeError.None, MessageCodec.Decode(_buffer.AsSpan(0, received.Length), _received.Count, out _, out Message? message));
        return message;
    }

    /// <summary>Takes a descriptor that came with the last message; the caller owns it.</summary>
    public T Take<T>(int index)
        where T : SafeFd, IAdoptsFd<T> => _received.Take<T>(index);

    /// <summary>Sends a request and expects a reply of a kind.</summary>
    public T Ask<T>(Message request, params SafeFd[] descriptors)
        where T : Message
    {
        Send(request, descriptors);
        Message? reply = Receive();
        if (reply is ErrorMessage error && typeof(T) != typeof(ErrorMessage))
            Assert.Fail($"{request.Type} was refused: {error.Code}, errno {error.Errno}: {error.Text}");
        return Assert.IsType<T>(reply);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _received.Dispose();
        _socket.Dispose();
    }
}
