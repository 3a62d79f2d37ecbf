using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>The test client itself: other suites stand on it.</summary>
public sealed class ClientProcessTests
{
    private const ulong Page = 4096;

    [Fact]
    public void Client_answers_commands_and_reports_errno()
    {
        using ClientProcess client = ClientProcess.Start();
        (ulong address, _) = client.Map("anon", 4 * Page);
        client.WriteByte(address, 42);
        Assert.Equal(42, client.ReadByte(address));
        Assert.Equal(Errno.EINVAL, client.Try($"munmap {address + 1} 4096").Errno);
        Assert.Equal(Errno.ENOSYS, client.Try("nonsense").Errno);
    }

    [Fact]
    public void Client_survives_a_fatal_access_and_tells_the_address()
    {
        using ClientProcess client = ClientProcess.Start();
        (ulong address, _) = client.Map("anon", Page, PageProtection.None);
        ClientReply reply = client.Try($"read {address}");
        Assert.Equal(ClientReply.Sigsegv, reply.Signal);
        Assert.Equal(address, reply.Values[1]);
        Assert.Equal(0UL, client.Run("close 0"));
    }

    [Fact]
    public void Thread_that_sleeps_in_a_fault_keeps_nobody_else_waiting()
    {
        using ClientProcess client = ClientProcess.Start();
        (ulong address, _) = client.Map("anon", Page);
        using SafeUffd uffd = client.OpenUffd(UffdOpenFlags.UserModeOnly);
        Assert.Equal(Errno.OK, Userfaultfd.Api(uffd, UffdFeatures.None, out _, out _));
        Assert.Equal(Errno.OK, Userfaultfd.Register(uffd, address, Page, UffdRegisterModes.Missing, out _));
        PendingReply sleeper = client.Begin($"read {address}", thread: 3);
        Assert.NotEqual((ulong)client.Pid, client.Run("tid"));
        Assert.False(sleeper.IsCompleted);
        using FdLease lease = uffd.Lease();
        Eventually.True(() => UffdFdInfoReader.Read(uffd).Pending == 1, "the fault");
        Assert.Equal(Errno.OK, Userfaultfd.ZeroPage(lease, address, Page).Errno);
        Assert.Equal(0UL, sleeper.AwaitValue());
    }

    [Fact]
    public void Forked_child_connects_by_itself()
    {
        using ClientProcess client = ClientProcess.Start();
        int pid = (int)client.Run("fork");
        using ClientProcess child = client.AcceptChild();
        Assert.Equal(pid, child.Pid);
        Assert.NotEqual(0UL, child.Run("tid"));
        _ = child.Begin("exit 3");
        Assert.Equal(3UL << 8, client.Run($"waitpid {pid}"));
    }

    [Fact]
    public void Client_ends_when_its_connection_ends_even_with_a_thread_asleep_in_a_fault()
    {
        DescriptorWatch watch = DescriptorWatch.Start();
        int pid;
        using (ClientProcess client = ClientProcess.Start())
        {
            pid = client.Pid;
            (ulong address, _) = client.Map("anon", Page);
            using SafeUffd uffd = client.OpenUffd(UffdOpenFlags.UserModeOnly);
            Assert.Equal(Errno.OK, Userfaultfd.Api(uffd, UffdFeatures.None, out _, out _));
            Assert.Equal(Errno.OK, Userfaultfd.Register(uffd, address, Page, UffdRegisterModes.Missing, out _));
            PendingReply sleeper = client.Begin($"read {address}", thread: 1);
            Eventually.True(() => UffdFdInfoReader.Read(uffd).Pending == 1, "the fault");
            client.Kill();
            Eventually.True(() => sleeper.IsLost, "the loss to be noticed");
        }

        Assert.False(ProcessInfo.TryReadStartTime(pid, out _));
        watch.AssertUnchanged();
    }
}
