using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>The ways taken on kernels that lack a call, taken here by pretending.</summary>
public sealed class OlderKernelTests : IDisposable
{
    [Fact]
    public void Epoll_waits_in_milliseconds_without_epoll_pwait2()
    {
        Epoll.IsPwait2Missing = true;
        using SafeEpoll epoll = Epoll.Create();
        using FdLease wait = epoll.Lease();
        using SafeEventFd eventFd = EventFd.Create();
        EpollEvent[] events = new EpollEvent[2];
        Epoll.Add(epoll, eventFd, EpollEvents.In, 5);
        Assert.Equal(0, Epoll.Wait(wait, events, 0));
        long begin = MonotonicClock.NowNanoseconds;
        Assert.Equal(0, Epoll.Wait(wait, events, 1_200_000));
        Assert.True(MonotonicClock.NowNanoseconds - begin >= 1_200_000);
        EventFd.Signal(eventFd);
        Assert.Equal(1, Epoll.Wait(wait, events, -1));
        Assert.Equal(5UL, events[0].Key);
    }

    [Fact]
    public void Messages_are_read_without_waiting_where_userfaultfd_knows_no_RWF_NOWAIT()
    {
        Userfaultfd.IsNoWaitMissing = true;
        using ClientProcess client = ClientProcess.Start();
        (ulong start, _) = client.Map("anon", 4096);
        using SafeUffd uffd = client.OpenUffd(UffdOpenFlags.UserModeOnly, out int number);
        using FdLease lease = uffd.Lease();
        Assert.Equal(Errno.OK, Userfaultfd.Api(uffd, UffdFeatures.None, out _, out _));
        Assert.Equal(Errno.OK, Userfaultfd.Register(uffd, start, 4096, UffdRegisterModes.Missing, out _));
        client.Run($"nonblock {number} 0");
        UffdMessage[] messages = new UffdMessage[2];
        Assert.Equal(0, Userfaultfd.Read(lease, messages, out Errno errno));
        Assert.Equal(Errno.EAGAIN, errno);
        PendingReply reader = client.Begin($"read {start}", thread: 1);
        Eventually.True(() => Userfaultfd.Read(lease, messages, out _) == 1, "the fault");
        Assert.Equal(start, messages[0].Address);
        Assert.Equal(Errno.OK, Userfaultfd.ZeroPage(lease, start, 4096).Errno);
        Assert.Equal(0UL, reader.AwaitValue());
    }

    public void Dispose()
    {
        Epoll.IsPwait2Missing = false;
        Userfaultfd.IsNoWaitMissing = false;
    }
}
