using UffdManager.Daemon.FrontDoors;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors;

public sealed class WorkerThreadsTests
{
    [Fact]
    public async Task Work_that_follows_other_work_finds_its_thread_again()
    {
        var threads = new WorkerThreads(TimeSpan.FromMinutes(1));
        var seen = new HashSet<int>();
        for (int i = 0; i < 20; i++)
        {
            seen.Add(await threads.RunAsync(() => Environment.CurrentManagedThreadId));
            Eventually.True(() => threads.Idle == 1, "the thread to be idle");
        }

        Assert.Single(seen);
    }

    [Fact]
    public async Task Work_that_hangs_never_holds_up_work_that_comes_after_it()
    {
        var threads = new WorkerThreads(TimeSpan.FromMinutes(1));
        using var gate = new ManualResetEventSlim();
        Task<int>[] hanging = [.. Enumerable.Range(0, 16).Select(i => threads.RunAsync(() =>
        {
            gate.Wait();
            return i;
        }))];
        Task<int>[] quick = [.. Enumerable.Range(0, 64).Select(i => threads.RunAsync(() => i))];

        Assert.Equal(Enumerable.Range(0, 64), await Task.WhenAll(quick).WaitAsync(TimeSpan.FromSeconds(20)));
        Assert.DoesNotContain(hanging, task => task.IsCompleted);
        gate.Set();
        Assert.Equal(Enumerable.Range(0, 16), await Task.WhenAll(hanging));
    }

    [Fact]
    public async Task Threads_that_nobody_needs_end_and_work_goes_on_without_them()
    {
        var threads = new WorkerThreads(TimeSpan.FromMilliseconds(10));
        for (int i = 0; i < 50; i++)
        {
            // The second of two comes while the thread of the first one may be about to end.
            Assert.Equal(i, await threads.RunAsync(() => i).WaitAsync(TimeSpan.FromSeconds(20)));
            if (i % 5 == 0)
                Eventually.True(() => threads.Idle == 0, "the idle thread to end");
        }
    }

    [Fact]
    public async Task Work_that_throws_tells_who_waits_for_it_and_keeps_its_thread()
    {
        var threads = new WorkerThreads(TimeSpan.FromMinutes(1));
        await Assert.ThrowsAsync<InvalidOperationException>(() => threads.RunAsync<int>(() => throw new InvalidOperationException("no")));
        Eventually.True(() => threads.Idle == 1, "the thread to be idle");
    }
}
