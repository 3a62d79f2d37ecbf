using FsCheck;
using FsCheck.Fluent;
using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Engine.Tests.Units;

/// <summary>The small parts of the fault loop.</summary>
public sealed class LoopPartsTests
{
    [Theory]
    [InlineData(Errno.OK, InstallOutcome.Installed)]
    [InlineData(Errno.EEXIST, InstallOutcome.AlreadyPresent)]
    [InlineData(Errno.EAGAIN, InstallOutcome.Changing)]
    [InlineData(Errno.ENOENT, InstallOutcome.Stale)]
    [InlineData(Errno.ESRCH, InstallOutcome.ClientGone)]
    [InlineData(Errno.ENOMEM, InstallOutcome.NoMemory)]
    [InlineData(Errno.ENOSPC, InstallOutcome.NoMemory)]
    [InlineData(Errno.EFAULT, InstallOutcome.SourceFault)]
    [InlineData(Errno.EINVAL, InstallOutcome.Refused)]
    [InlineData(Errno.EPERM, InstallOutcome.Refused)]
    [InlineData(Errno.EBADF, InstallOutcome.Refused)]
    internal void Errno_of_a_fill_means(Errno errno, InstallOutcome outcome) => Assert.Equal(outcome, InstallOutcomes.From(errno));

    [Fact]
    public void Deferred_queue_gives_each_fault_back_once_and_never_early() =>
        Prop.ForAll(ArbMap.Default.ArbFor<int>(), seed => QueueAgrees(new Random(seed))).Check(Config.QuickThrowOnFailure.WithMaxTest(500));

    [Fact]
    public void Rate_limiter_lets_the_rate_and_one_burst_through()
    {
        RateLimiter limiter = new();
        long now = 5_000_000_000;
        long end = now + 10_000_000_000;
        int taken = 0;
        while (now < end)
        {
            if (limiter.TryTake(1, 1000, now, out long readyAt))
            {
                taken++;
            }
            else
            {
                Assert.True(readyAt > now);
                now = readyAt;
            }
        }

        Assert.InRange(taken, 10_000, 10_110);
    }

    [Fact]
    public void Rate_limiter_saves_no_more_than_its_burst_while_idle()
    {
        RateLimiter limiter = new();
        Assert.True(limiter.TryTake(1, 1000, 1_000_000_000, out _));
        int taken = 0;
        while (limiter.TryTake(1, 1000, 3_600_000_000_000, out _))
            taken++;
        Assert.InRange(taken, 100, 102);
    }

    [Fact]
    public void Rate_limiter_makes_the_next_one_pay_a_debt()
    {
        RateLimiter limiter = new();
        const long Now = 1_000_000_000;
        limiter.Owe(2000, 1000, Now);
        Assert.False(limiter.TryTake(0, 1000, Now, out long readyAt));
        Assert.Equal(Now + 1_900_000_000, readyAt);
        Assert.True(limiter.TryTake(0, 1000, readyAt, out _));
    }

    [Fact]
    public void Rate_limiter_without_a_rate_lets_everything_through()
    {
        RateLimiter limiter = new();
        for (int i = 0; i < 10_000; i++)
            Assert.True(limiter.TryTake(1_000_000, 0, 1, out _));
    }

    [Fact]
    public void Rate_limiter_is_shared_by_threads_without_losing_a_unit()
    {
        RateLimiter limiter = new();
        int taken = 0;
        Parallel.For(0, 8, _ =>
        {
            for (int i = 0; i < 1000; i++)
            {
                if (limiter.TryTake(1, 10_000, 1_000_000_000, out long _))
                    Interlocked.Increment(ref taken);
            }
        });
        Assert.InRange(taken, 1000, 1002);
    }

    [Fact]
    public void Sample_ring_keeps_order_and_drops_what_does_not_fit()
    {
        SampleRing ring = new();
        const int Capacity = 1 << 16;
        for (int i = 0; i < Capacity + 10; i++)
            ring.Write(new FaultSample { EndedAt = i });
        Assert.Equal(10, ring.Dropped);
        FaultSample[] drained = new FaultSample[1000];
        long next = 0;
        int count;
        while ((count = ring.Drain(drained)) > 0)
        {
            for (int i = 0; i < count; i++)
                Assert.Equal(next++, drained[i].EndedAt);
        }

        Assert.Equal(Capacity, next);
        ring.Write(new FaultSample { EndedAt = 77 });
        Assert.Equal(1, ring.Drain(drained));
        Assert.Equal(77, drained[0].EndedAt);
    }

    [Fact]
    public void Sample_ring_passes_everything_from_one_thread_to_another()
    {
        SampleRing ring = new();
        const int Count = 500_000;
        Task writer = Task.Run(() =>
        {
            for (int i = 0; i < Count; i++)
                ring.Write(new FaultSample { EndedAt = i, DurationNanoseconds = -i });
        });
        FaultSample[] into = new FaultSample[777];
        long last = -1;
        long seen = 0;
        while (!writer.IsCompleted || seen + ring.Dropped < Count)
        {
            int count = ring.Drain(into);
            for (int i = 0; i < count; i++)
            {
                Assert.True(into[i].EndedAt > last && into[i].DurationNanoseconds == -into[i].EndedAt, "a sample was torn or came twice");
                last = into[i].EndedAt;
                seen++;
            }
        }

        Assert.Equal(Count, seen + ring.Dropped);
    }

    private static bool QueueAgrees(Random random)
    {
        DeferredQueue queue = new();
        List<DeferredFault> model = [];
        List<DeferredFault> taken = [];
        long now = 0;
        for (int step = 0; step < 200; step++)
        {
            now += random.Next(10);
            switch (random.Next(3))
            {
                case 0:
                    DeferredFault added = new() { Address = (ulong)step, DueAt = now + random.Next(50) };
                    queue.Add(in added);
                    model.Add(added);
                    break;
                case 1:
                    queue.TakeDue(now, taken);
                    if (taken.Count != model.RemoveAll(it => it.DueAt <= now) || taken.Exists(it => it.DueAt > now))
                        return false;
                    break;
                case 2:
                    ulong start = (ulong)random.Next(step + 1);
                    queue.TakeWithin(start, start + 3, taken);
                    if (taken.Count != model.RemoveAll(it => it.Address >= start && it.Address < start + 3) || taken.Exists(it => it.Address < start || it.Address >= start + 3))
                        return false;
                    break;
                default:
                    break;
            }

            long nextDue = model.Count == 0 ? long.MaxValue : model.Min(it => it.DueAt);
            if (queue.Count != model.Count || queue.NextDue != nextDue)
                return false;
        }

        return true;
    }
}
