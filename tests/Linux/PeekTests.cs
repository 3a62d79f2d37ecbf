using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>Looking at what lies in a socket without taking it, and ending what comes.</summary>
public sealed class PeekTests
{
    private readonly byte[] _buffer = new byte[64];

    [Fact]
    public void Peek_goes_on_behind_what_was_seen_and_everything_stays_for_whoever_receives()
    {
        (SafeSocketFd near, SafeSocketFd far) = UnixSocket.Pair(UnixSocketType.Stream);
        using (near)
        using (far)
        using (SafeEventFd sent = EventFd.Create())
        using (DescriptorSet descriptors = new())
        {
            UnixSocket.PeekFromStart(near);
            Assert.Equal(Errno.OK, UnixSocket.Send(far, "ab"u8, [sent], dontWait: true));
            Assert.Equal("ab", Peek(near, descriptors));
            Assert.Equal(1, descriptors.Count);
            Assert.Null(Peek(near, descriptors));
            Assert.Equal(Errno.OK, UnixSocket.Send(far, "c"u8, [], dontWait: true));
            Assert.Equal("c", Peek(near, descriptors));
            Assert.Equal(1, descriptors.Count);

            UnixSocket.PeekFromStart(near);
            Assert.Equal("ab", Peek(near, descriptors));
            Assert.Equal(2, descriptors.Count);
            Assert.Equal(Errno.OK, UnixSocket.Receive(near, _buffer, descriptors, dontWait: true, out ReceivedMessage message));
            Assert.Equal((2, 3), (message.Length, descriptors.Count));
        }
    }

    [Fact]
    public void Peek_tells_the_end_of_the_stream_behind_what_is_there()
    {
        (SafeSocketFd near, SafeSocketFd far) = UnixSocket.Pair(UnixSocketType.Stream);
        using (near)
        using (DescriptorSet descriptors = new())
        {
            UnixSocket.PeekFromStart(near);
            Assert.Equal(Errno.OK, UnixSocket.Send(far, "ab"u8, [], dontWait: true));
            far.Dispose();
            Assert.Equal("ab", Peek(near, descriptors));
            Assert.Equal("", Peek(near, descriptors));
        }
    }

    [Fact]
    public void What_has_arrived_before_receiving_was_stopped_is_there_and_nothing_comes_after_it()
    {
        (SafeSocketFd near, SafeSocketFd far) = UnixSocket.Pair(UnixSocketType.Stream);
        using (near)
        using (far)
        using (DescriptorSet descriptors = new())
        {
            Assert.Equal(Errno.OK, UnixSocket.Send(far, "ab"u8, [], dontWait: true));
            UnixSocket.StopReceiving(near);
            Assert.Equal(Errno.EPIPE, UnixSocket.Send(far, "c"u8, [], dontWait: true));
            Assert.Equal(Errno.OK, UnixSocket.Receive(near, _buffer, descriptors, dontWait: true, out ReceivedMessage message));
            Assert.Equal(2, message.Length);
            Assert.Equal(Errno.OK, UnixSocket.Receive(near, _buffer, descriptors, dontWait: true, out message));
            Assert.True(message.EndOfStream);
        }
    }

    [SkippableFact]
    public void Socket_is_given_to_its_owner_before_anybody_can_connect()
    {
        Require.Root();
        using TempDirectory temp = new();
        string path = Path.Combine(temp.Path, "owned.sock");
        using SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.Stream, 1, 0b110_000_000, group: 5678, owner: 1234);
        Assert.Equal(Errno.OK, FileIo.TryStat(path, out FileStatus status));
        Assert.Equal((1234u, 5678u), (status.Uid, status.Gid));
    }

    private string? Peek(SafeSocketFd socket, DescriptorSet descriptors)
    {
        Errno errno = UnixSocket.Peek(socket, _buffer, descriptors, out ReceivedMessage message);
        if (errno == Errno.EAGAIN)
            return null;
        Assert.Equal(Errno.OK, errno);
        return System.Text.Encoding.ASCII.GetString(_buffer, 0, message.Length);
    }
}
