using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>SCM_RIGHTS: what a stranger sends is owned before it is looked at, and closed on every path.</summary>
public sealed class DescriptorPassingTests
{
    [Theory]
    [InlineData(UnixSocketType.SeqPacket)]
    [InlineData(UnixSocketType.Stream)]
    public void Descriptor_arrives_close_on_exec_with_its_message(UnixSocketType type)
    {
        DescriptorWatch watch = DescriptorWatch.Start();
        using (Pair pair = new(type))
        using (SafeEventFd sent = EventFd.Create())
        {
            Assert.Equal(Errno.OK, UnixSocket.Send(pair.First, "hi"u8, [sent], dontWait: true));
            EventFd.Signal(sent);
            using DescriptorSet received = new();
            byte[] buffer = new byte[16];
            Assert.Equal(Errno.OK, UnixSocket.Receive(pair.Second, buffer, received, dontWait: true, out ReceivedMessage message));
            Assert.Equal(new ReceivedMessage(2, false, false, false), message);
            Assert.Equal("hi"u8, buffer.AsSpan(0, 2));
            Assert.Equal(1, received.Count);
            using SafeEventFd taken = received.Take<SafeEventFd>(0);
            using FdLease lease = taken.Lease();
            Assert.True(FdPoll.WaitReadable(lease, TimeSpan.Zero));
            string flags = File.ReadLines($"/proc/self/fdinfo/{lease.Fd}").First(l => l.StartsWith("flags:", StringComparison.Ordinal));
            Assert.NotEqual(0, Convert.ToInt32(flags[6..].Trim(), 8) & Libc.O_CLOEXEC);
        }

        watch.AssertUnchanged();
    }

    [Fact]
    public void Descriptor_is_taken_once()
    {
        using Pair pair = new(UnixSocketType.SeqPacket);
        using DescriptorSet received = Send(pair, 1);
        using SafeFile taken = received.Take<SafeFile>(0);
        Assert.Null(received.Borrow(0));
        Assert.Throws<InvalidOperationException>(() => received.Take<SafeFile>(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => received.Take<SafeFile>(1));
        Assert.Throws<ArgumentOutOfRangeException>(() => received.Take<SafeFile>(-1));
    }

    [Fact]
    public void Descriptors_that_nobody_takes_are_closed_with_the_set()
    {
        DescriptorWatch watch = DescriptorWatch.Start();
        using (Pair pair = new(UnixSocketType.SeqPacket))
        using (DescriptorSet received = Send(pair, 5))
        {
            received.Take<SafeFile>(2).Dispose();
            received.Clear();
            Assert.Equal(0, received.Count);
        }

        watch.AssertUnchanged();
    }

    [Fact]
    public void Largest_message_of_descriptors_is_not_truncated()
    {
        DescriptorWatch watch = DescriptorWatch.Start();
        using (Pair pair = new(UnixSocketType.SeqPacket))
        using (DescriptorSet received = Send(pair, UnixSocket.MaxDescriptors))
            Assert.Equal(UnixSocket.MaxDescriptors, received.Count);
        watch.AssertUnchanged();
    }

    [Fact]
    public void More_descriptors_than_a_message_carries_are_refused()
    {
        using Pair pair = new(UnixSocketType.SeqPacket);
        SafeFd[] many = [.. Enumerable.Repeat((SafeFd)pair.First, UnixSocket.MaxDescriptors + 1)];
        Assert.Throws<ArgumentOutOfRangeException>(() => UnixSocket.Send(pair.First, "x"u8, many, dontWait: true));
    }

    [Fact]
    public void Truncated_message_still_hands_over_its_descriptors()
    {
        DescriptorWatch watch = DescriptorWatch.Start();
        using (Pair pair = new(UnixSocketType.SeqPacket))
        using (SafeEventFd sent = EventFd.Create())
        {
            Assert.Equal(Errno.OK, UnixSocket.Send(pair.First, new byte[100], [sent], dontWait: true));
            using DescriptorSet received = new();
            Assert.Equal(Errno.OK, UnixSocket.Receive(pair.Second, new byte[10], received, dontWait: true, out ReceivedMessage message));
            Assert.Equal(new ReceivedMessage(10, true, false, false), message);
            Assert.Equal(1, received.Count);

            // The rest is lost, not taken for the next message.
            Assert.Equal(Errno.EAGAIN, UnixSocket.Receive(pair.Second, new byte[10], received, dontWait: true, out _));
        }

        watch.AssertUnchanged();
    }

    [Fact]
    public void Descriptors_beyond_the_limit_of_open_files_are_reported_and_the_others_owned()
    {
        DescriptorWatch watch = DescriptorWatch.Start();
        using (Pair pair = new(UnixSocketType.SeqPacket))
        using (SafeEventFd sent = EventFd.Create())
        using (DescriptorSet received = new())
        {
            Assert.Equal(Errno.OK, UnixSocket.Send(pair.First, "x"u8, [sent, sent, sent], dontWait: true));
            (ulong soft, ulong hard) = Rlimits.GetNoFile();
            int next;
            using (SafeFile probe = sent.Duplicate<SafeFile>())
            using (FdLease lease = probe.Lease())
                next = lease.Fd;
            Errno errno;
            ReceivedMessage message;
            try
            {
                // Room for numbers below the limit: one, or some more where the table has holes above it, and never all three.
                Rlimits.SetNoFile((ulong)next + 1, hard);
                errno = UnixSocket.Receive(pair.Second, new byte[10], received, dontWait: true, out message);
            }
            finally
            {
                Rlimits.SetNoFile(soft, hard);
            }

            Assert.Equal(Errno.OK, errno);
            Assert.True(message.ControlTruncated);
            Assert.Equal(1, received.Count);
        }

        watch.AssertUnchanged();
    }

    [Fact]
    public void Descriptor_comes_with_the_first_piece_of_a_stream()
    {
        using Pair pair = new(UnixSocketType.Stream);
        using SafeEventFd sent = EventFd.Create();
        Assert.Equal(Errno.OK, UnixSocket.Send(pair.First, new byte[40], [sent], dontWait: true));
        using DescriptorSet received = new();
        Assert.Equal(Errno.OK, UnixSocket.Receive(pair.Second, new byte[16], received, dontWait: true, out ReceivedMessage message));
        Assert.Equal((16, 1, false), (message.Length, received.Count, message.Truncated));
        Assert.Equal(Errno.OK, UnixSocket.Receive(pair.Second, new byte[64], received, dontWait: true, out message));
        Assert.Equal((24, 1), (message.Length, received.Count));
    }

    [Fact]
    public void Messages_that_are_not_received_take_their_descriptors_along()
    {
        DescriptorWatch watch = DescriptorWatch.Start();
        using (Pair pair = new(UnixSocketType.SeqPacket))
        using (SafeEventFd sent = EventFd.Create())
            Assert.Equal(Errno.OK, UnixSocket.Send(pair.First, "x"u8, [sent], dontWait: true));
        watch.AssertUnchanged();
    }

    private static DescriptorSet Send(Pair pair, int count)
    {
        using SafeEventFd sent = EventFd.Create();
        SafeFd[] descriptors = [.. Enumerable.Repeat((SafeFd)sent, count)];
        Assert.Equal(Errno.OK, UnixSocket.Send(pair.First, "x"u8, descriptors, dontWait: true));
        DescriptorSet received = new();
        Assert.Equal(Errno.OK, UnixSocket.Receive(pair.Second, new byte[8], received, dontWait: true, out ReceivedMessage message));
        Assert.False(message.ControlTruncated);
        Assert.Equal(count, received.Count);
        return received;
    }

    private sealed class Pair : IDisposable
    {
        public Pair(UnixSocketType type) => (First, Second) = UnixSocket.Pair(type);

        public SafeSocketFd First { get; }

        public SafeSocketFd Second { get; }

        public void Dispose()
        {
            First.Dispose();
            Second.Dispose();
        }
    }
}
