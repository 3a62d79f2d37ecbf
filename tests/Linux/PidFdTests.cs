using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>Processes by pidfd and by /proc.</summary>
public sealed class PidFdTests
{
    [Fact]
    public void Death_is_seen_by_poll_and_epoll_even_of_a_process_that_nobody_has_reaped()
    {
        using ClientProcess parent = ClientProcess.Start();
        int pid = (int)parent.Run("forkquiet");
        using SafePidFd? child = PidFd.TryOpen(pid, out Errno errno);
        Assert.Equal(Errno.OK, errno);
        using SafeEpoll epoll = Epoll.Create();
        using FdLease wait = epoll.Lease();
        Epoll.Add(epoll, child!, EpollEvents.In, 1);
        Assert.False(PidFd.HasExited(child!));
        Assert.Equal(pid, PidFd.ReadPid(child!));
        Assert.Equal(Errno.OK, PidFd.SendSignal(child!, 0));
        Assert.Equal(Errno.OK, PidFd.SendSignal(child!, 9));
        Assert.Equal(1, Epoll.Wait(wait, new EpollEvent[1], 20_000_000_000));
        Assert.True(PidFd.HasExited(child!));
        Assert.Equal('Z', ProcessInfo.ReadState(pid));
        Assert.Equal(9UL, parent.Run($"waitpid {pid}"));
        Assert.Equal(Errno.ESRCH, PidFd.SendSignal(child!, 9));
        Assert.Null(PidFd.ReadPid(child!));
        Assert.Null(PidFd.TryOpen(pid, out errno));
        Assert.Equal(Errno.ESRCH, errno);
        Assert.Null(ProcessInfo.ReadState(pid));
    }

    [Fact]
    public void Thread_is_not_a_process()
    {
        using ClientProcess client = ClientProcess.Start();
        int thread = (int)client.Run("tid", thread: 5);
        Assert.Null(PidFd.TryOpen(thread, out Errno errno));
        Assert.True(errno is Errno.EINVAL or Errno.ENOENT, errno.Describe());
    }

    [Fact]
    public void Descriptor_of_another_process_is_duplicated()
    {
        using ClientProcess client = ClientProcess.Start();
        int number = (int)client.Run("uffd 1");
        using SafeFile taken = PidFd.GetFd(client.Handle, number);
        Assert.True(Userfaultfd.IsUserfaultfd(taken));
        Assert.Equal(Errno.EBADF, Assert.Throws<SyscallException>(() => PidFd.GetFd(client.Handle, 9999)).Errno);
        Assert.False(Userfaultfd.IsUserfaultfd(client.Handle));
    }

    [Fact]
    public void Start_time_and_parent_name_a_process()
    {
        using ClientProcess client = ClientProcess.Start();
        Assert.True(ProcessInfo.TryReadStartTime(client.Pid, out ulong startTime));
        Assert.True(ProcessInfo.TryReadStartTime(Environment.ProcessId, out ulong ours));
        Assert.True(startTime >= ours && ours > 0);
        Assert.True(ProcessInfo.TryReadParent(client.Pid, out int parent));
        Assert.Equal(Environment.ProcessId, parent);
        Assert.StartsWith("uffd-client", ProcessInfo.ReadComm(client.Pid), StringComparison.Ordinal);
        Assert.StartsWith("/", ProcessInfo.ReadCgroup(client.Pid), StringComparison.Ordinal);
    }

    [Fact]
    public void Process_that_is_gone_is_an_answer_and_no_exception()
    {
        const int Nobody = 4_194_304 + 1; // above the largest pid_max
        Assert.False(ProcessInfo.TryReadStartTime(Nobody, out _));
        Assert.False(ProcessInfo.TryReadParent(Nobody, out _));
        Assert.Null(ProcessInfo.ReadComm(Nobody));
        Assert.Null(ProcessInfo.ReadCgroup(Nobody));
        Assert.Empty(ProcessInfo.ReadSmaps(Nobody));
    }
}
