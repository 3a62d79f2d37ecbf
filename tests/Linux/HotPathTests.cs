using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>The calls of the fault path allocate nothing: a collection is a pause for every client.</summary>
public sealed class HotPathTests
{
    private const int Pages = 512;

    [Fact]
    public void Fault_path_does_not_allocate()
    {
        using ClientProcess client = ClientProcess.Start();
        (ulong start, _) = client.Map("anon", Pages * 4096UL);
        using SafeUffd uffd = client.OpenUffd(UffdOpenFlags.UserModeOnly);
        const UffdRegisterModes Modes = UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect;
        Assert.Equal(Errno.OK, Userfaultfd.Api(uffd, UffdFeatures.Poison, out _, out _));
        Assert.Equal(Errno.OK, Userfaultfd.Register(uffd, start, Pages * 4096UL, Modes, out _));
        using SafeEpoll epoll = Epoll.Create();
        Epoll.Add(epoll, uffd, EpollEvents.In, 1);
        using SafeEventFd eventFd = EventFd.Create();
        using SafeTimerFd timer = TimerFd.Create();
        using SafeMemfd memfd = Memfd.Create("hot", MemfdFlags.None);
        Memfd.Truncate(memfd, 4096);
        nuint source = NativePages.Map(4096);
        using FdLease uffdLease = uffd.Lease();
        using FdLease epollLease = epoll.Lease();
        using FdLease eventLease = eventFd.Lease();
        using FdLease timerLease = timer.Lease();
        using FdLease fileLease = memfd.Lease();
        UffdMessage[] messages = new UffdMessage[8];
        EpollEvent[] events = new EpollEvent[8];

        // The first rounds compile and prime; the last is measured.
        long allocated = 0;
        for (int page = 0; page < Pages; page++)
        {
            ulong address = start + ((ulong)page * 4096);
            long before = GC.GetAllocatedBytesForCurrentThread();
            Userfaultfd.Read(uffdLease, messages, out _);
            Epoll.Wait(epollLease, events, 0);
            Userfaultfd.Copy(uffdLease, address, source, 4096, UffdCopyModes.None);
            Userfaultfd.ZeroPage(uffdLease, address, 4096);
            Userfaultfd.Continue(uffdLease, address, 4096, UffdCopyModes.None);
            Userfaultfd.Poison(uffdLease, address, 4096);
            Userfaultfd.WriteProtect(uffdLease, address, 4096, protect: true);
            Userfaultfd.Wake(uffdLease, address, 4096);
            Userfaultfd.IsChanging(uffdLease);
            Userfaultfd.IsOwnerGone(uffdLease);
            FileIo.ReadNoWait(fileLease, source, 4096, 0, out _);
            FileIo.Read(fileLease, source, 4096, 0, out _);
            FileIo.Write(fileLease, source, 4096, 0, out _);
            EventFd.Signal(eventLease);
            EventFd.Drain(eventLease);
            TimerFd.Arm(timerLease, 1_000_000_000);
            TimerFd.Drain(timerLease);
            _ = MonotonicClock.NowNanoseconds;
            allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        }

        NativePages.Unmap(source, 4096);
        Assert.Equal(0, allocated);
    }
}
