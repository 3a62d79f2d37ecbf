using UffdManager.Daemon.FrontDoors;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors;

public sealed class BlockingWorkTests
{
    [Fact]
    public async Task Work_of_one_tenant_that_hangs_holds_up_neither_another_tenant_nor_the_thread_pool()
    {
        var work = new BlockingWork();
        using var gate = new ManualResetEventSlim();
        Task<int>[] hanging = [.. Enumerable.Range(0, 64).Select(i => work.RunAsync("slow", () =>
        {
            gate.Wait();
            return i;
        }))];

        Assert.Equal(1, await work.RunAsync("quick", () => 1).WaitAsync(TimeSpan.FromSeconds(20)));
        Assert.Equal(2, await Task.Run(() => 2).WaitAsync(TimeSpan.FromSeconds(20)));
        Assert.DoesNotContain(hanging, task => task.IsCompleted);

        gate.Set();
        Assert.Equal(Enumerable.Range(0, 64), await Task.WhenAll(hanging));
    }

    [Fact]
    public async Task Work_that_throws_gives_its_turn_back()
    {
        var work = new BlockingWork();
        for (int i = 0; i < 10; i++)
            await Assert.ThrowsAsync<InvalidOperationException>(() => work.RunAsync<int>("a", () => throw new InvalidOperationException("no")));
        Assert.Equal(1, await work.RunAsync("a", () => 1));
    }

    [Fact]
    public async Task Descriptors_are_closed_although_all_other_work_of_their_tenant_hangs()
    {
        var work = new BlockingWork();
        using var gate = new ManualResetEventSlim();
        Task<bool>[] hanging = [.. Enumerable.Range(0, 8).Select(_ => work.RunAsync("vms", () =>
        {
            gate.Wait();
            return true;
        }))];
        (SafeSocketFd sender, SafeSocketFd receiver) = UnixSocket.Pair(UnixSocketType.SeqPacket);
        using (sender)
        using (receiver)
        {
            Assert.Equal(Errno.OK, UnixSocket.Send(sender, [1], [sender], dontWait: false));
            var descriptors = new DescriptorSet();
            Assert.Equal(Errno.OK, UnixSocket.Receive(receiver, new byte[8], descriptors, dontWait: false, out _));
            work.Close("vms", descriptors);
            Assert.False(work.IsClogged("vms"));
            Eventually.True(() => descriptors.Count == 0, "the descriptors to be closed");
        }

        Assert.DoesNotContain(hanging, task => task.IsCompleted);
        gate.Set();
        await Task.WhenAll(hanging);
    }
}
