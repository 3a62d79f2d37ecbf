using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>epoll, eventfd and timerfd together, as the fault loops use them.</summary>
public sealed class EpollTests
{
    private readonly EpollEvent[] _events = new EpollEvent[4];

    [Fact]
    public void Ready_file_is_reported_by_its_key()
    {
        using SafeEpoll epoll = Epoll.Create();
        using FdLease wait = epoll.Lease();
        using SafeEventFd first = EventFd.Create();
        using SafeEventFd second = EventFd.Create();
        Epoll.Add(epoll, first, EpollEvents.In, 0xFEDC_BA98_7654_3210);
        Epoll.Add(epoll, second, EpollEvents.In, 2);
        Assert.Equal(0, Epoll.Wait(wait, _events, 0));
        EventFd.Signal(first);
        Assert.Equal(1, Epoll.Wait(wait, _events, -1));
        Assert.Equal((EpollEvents.In, 0xFEDC_BA98_7654_3210), (_events[0].Events, _events[0].Key));
        EventFd.Signal(second);
        Assert.Equal(2, Epoll.Wait(wait, _events, -1));
        Assert.Equal([2UL, 0xFEDC_BA98_7654_3210UL], _events[..2].Select(e => e.Key).Order());
    }

    [Fact]
    public void One_shot_and_edge_report_once()
    {
        using SafeEpoll epoll = Epoll.Create();
        using FdLease wait = epoll.Lease();
        using SafeEventFd eventFd = EventFd.Create();
        EventFd.Signal(eventFd);
        Epoll.Add(epoll, eventFd, EpollEvents.In | EpollEvents.EdgeTriggered, 1);
        Assert.Equal(1, Epoll.Wait(wait, _events, 0));
        Assert.Equal(0, Epoll.Wait(wait, _events, 0));
        Epoll.Modify(epoll, eventFd, EpollEvents.In | EpollEvents.OneShot, 2);
        Assert.Equal(1, Epoll.Wait(wait, _events, 0));
        Assert.Equal(0, Epoll.Wait(wait, _events, 0));
        Assert.Equal(Errno.EEXIST, Assert.Throws<SyscallException>(() => Epoll.Add(epoll, eventFd, EpollEvents.In, 1)).Errno);
    }

    [Fact]
    public void Wait_ends_after_its_time()
    {
        using SafeEpoll epoll = Epoll.Create();
        using FdLease wait = epoll.Lease();
        long begin = MonotonicClock.NowNanoseconds;
        Assert.Equal(0, Epoll.Wait(wait, _events, 2_500_000));
        Assert.True(MonotonicClock.NowNanoseconds - begin >= 2_500_000);
    }

    [Fact]
    public void Wait_on_a_closed_set_is_a_defect()
    {
        SafeEpoll epoll = Epoll.Create();
        epoll.Dispose();
        Assert.Equal(Errno.EBADF, Assert.Throws<SyscallException>(() => Epoll.Wait(default, _events, 0)).Errno);
    }

    [Fact]
    public void Closing_without_removing_leaves_the_file_watched_while_a_peer_holds_it()
    {
        // The client has the same open file: closing ours does not take it out of the set. Hence Remove before Dispose, always.
        using ClientProcess peer = ClientProcess.Start();
        using SafeEpoll epoll = Epoll.Create();
        using FdLease wait = epoll.Lease();
        using SafeEventFd keep = EventFd.Create();
        SafeEventFd forgotten = keep.Duplicate<SafeEventFd>();
        int number = peer.Give(forgotten);
        Epoll.Add(epoll, forgotten, EpollEvents.In, 7);
        EventFd.Signal(keep);
        forgotten.Dispose();
        Assert.Equal(1, Epoll.Wait(wait, _events, 0));
        Assert.Equal(7UL, _events[0].Key);

        SafeEventFd proper = keep.Duplicate<SafeEventFd>();
        using SafeEpoll clean = Epoll.Create();
        using FdLease cleanWait = clean.Lease();
        Epoll.Add(clean, proper, EpollEvents.In, 8);
        Epoll.Remove(clean, proper);
        proper.Dispose();
        Assert.Equal(0, Epoll.Wait(cleanWait, _events, 0));
        peer.Run($"close {number}");
    }

    [Fact]
    public void Signals_merge_into_one_wake_up()
    {
        using SafeEventFd eventFd = EventFd.Create();
        using FdLease lease = eventFd.Lease();
        EventFd.Drain(lease);
        for (int i = 0; i < 10; i++)
            EventFd.Signal(lease);
        Assert.True(FdPoll.WaitReadable(lease, TimeSpan.Zero));
        EventFd.Drain(lease);
        Assert.False(FdPoll.WaitReadable(lease, TimeSpan.Zero));
    }

    [Fact]
    public void Timer_fires_once_and_is_disarmed_by_zero()
    {
        using SafeTimerFd timer = TimerFd.Create();
        using FdLease lease = timer.Lease();
        long begin = MonotonicClock.NowNanoseconds;
        TimerFd.Arm(timer, 1_500_000);
        Assert.False(FdPoll.WaitReadable(lease, TimeSpan.Zero));
        Assert.True(FdPoll.WaitReadable(lease, Eventually.DefaultDeadline));
        Assert.True(MonotonicClock.NowNanoseconds - begin >= 1_500_000);
        TimerFd.Drain(lease);
        Assert.False(FdPoll.WaitReadable(lease, TimeSpan.FromMilliseconds(5)));
        TimerFd.Arm(lease, 1_000_000);
        TimerFd.Arm(lease, 0);
        Assert.False(FdPoll.WaitReadable(lease, TimeSpan.FromMilliseconds(5)));
        TimerFd.Drain(lease);
        Assert.Throws<ArgumentOutOfRangeException>(() => TimerFd.Arm(timer, -1));
    }
}
