using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests;

/// <summary>The plain ways of a session: registered, faulted, filled ahead, left.</summary>
public sealed class SmokeTests : EngineTest
{
    [Fact]
    public void Zero_region_reads_zeros_and_keeps_writes_from_many_threads()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(8 * MiB);
        PendingReply[] touches = [.. Enumerable.Range(0, 8).Select(t => it.Client.Begin($"touch {at} {8 * MiB}", t))];
        foreach (PendingReply touch in touches)
            touch.AwaitValue();
        it.AssertZero(at, 64 * Page);
        it.Client.Run($"fill {at + (8 * Page)} {Page} 7");
        Assert.True(it.Client.IsFilledWith(at + (8 * Page), Page, 7));
        SessionStatus status = it.Status();
        Assert.True(status.Faults >= 2048, $"{status.Faults} faults for 2048 pages");
        Assert.Equal((long)(8 * MiB), status.ResidentBytes);
        Assert.Equal((long)(8 * MiB), status.ZeroedBytes);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(64 * 1024)]
    [InlineData(2 * 1024 * 1024)]
    public void File_region_holds_the_file_for_every_fault_around(int faultAround)
    {
        FileSource file = RandomFile((long)(4 * MiB), 42, out byte[] contents);
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = faultAround });
        ulong at = it.MapRegistered(4 * MiB, file);
        PendingReply[] touches = [.. Enumerable.Range(1, 4).Select(t => it.Client.Begin($"shuffle {at} {4 * MiB} 2000 {t}", t))];
        Assert.Equal(ClientProcess.Hash(contents), it.Client.HashRange(at, 4 * MiB));
        foreach (PendingReply touch in touches)
            touch.AwaitValue();
        Assert.Equal((long)(4 * MiB), it.Status().CopiedBytes);
    }

    [Fact]
    public void File_region_at_an_offset_holds_that_part_of_the_file()
    {
        FileSource file = RandomFile((long)MiB, 43, out byte[] contents);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(16 * Page, file, offset: 32 * (long)Page);
        Assert.Equal(ClientProcess.Hash(contents.AsSpan(32 * (int)Page, 16 * (int)Page)), it.Client.HashRange(at, 16 * Page));
    }

    [Fact]
    public void Last_partial_page_of_a_file_ends_in_zeros()
    {
        FileSource file = RandomFile((3 * (long)Page) + 100, 44, out byte[] contents);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(4 * Page, file);
        Assert.Equal(ClientProcess.Hash(contents.AsSpan(3 * (int)Page, 100)), it.Client.HashRange(at + (3 * Page), 100));
        it.AssertZero(at + (3 * Page) + 100, Page - 100);
    }

    [Fact]
    public void Range_beyond_the_end_of_its_source_is_refused_and_the_client_stays_healthy()
    {
        FileSource file = RandomFile(3 * (long)Page, 45, out _);
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map("anon", 8 * Page);
        EngineResult refused = it.TryRegister(at, 4 * Page, file);
        Assert.Equal((EngineErrorKind.Source, Errno.ENXIO), (refused.Error!.Kind, refused.Error.Errno));
        Assert.NotNull(it.TryRegister(at, 2 * Page, file, offset: 2 * (long)Page).Error);
        Assert.NotNull(it.TryRegister(at + 1, Page, file).Error);
        Assert.NotNull(it.TryRegister(at, 0, file).Error);
        it.Register(at, 3 * Page, file);
        it.Client.Run($"touch {at} {3 * Page}");
    }

    [Fact]
    public void Memfd_region_holds_the_memfd()
    {
        byte[] contents = new byte[(2 * MiB) + 100];
        new Random(46).NextBytes(contents);
        SafeMemfd memfd = Memfd.Create("test", MemfdFlags.AllowSealing);
        Memfd.Truncate(memfd, contents.Length);
        nuint mapping = NativePages.MapShared(memfd, 0, (2 * MiB) + Page, writable: true);
        contents.CopyTo(NativePages.AsSpan(mapping, contents.Length));
        NativePages.Unmap(mapping, (2 * MiB) + Page);
        Assert.Equal(Errno.OK, Memfd.AddSeals(memfd, MemfdSeals.Shrink));
        MemfdSource source = Own(new MemfdSource(memfd, "memfd"));
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = 16384 });
        ulong at = it.MapRegistered((2 * MiB) + Page, source);
        Assert.Equal(ClientProcess.Hash(contents), it.Client.HashRange(at, (ulong)contents.Length));
        it.AssertZero(at + (2 * MiB) + 100, Page - 100);
    }

    [Fact]
    public void Memfd_that_could_shrink_is_no_source()
    {
        SafeMemfd memfd = Memfd.Create("test", MemfdFlags.AllowSealing);
        Memfd.Truncate(memfd, 4096);
        Assert.Throws<ArgumentException>(() => new MemfdSource(memfd, "memfd"));
        Assert.True(memfd.IsClosed);
    }

    [Fact]
    public void Prefetch_fills_everything_and_no_fault_comes_after_it()
    {
        FileSource file = RandomFile((long)(8 * MiB), 47, out byte[] contents);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(8 * MiB, file);
        EngineResult filled = Engine.PrefetchAsync(it.Session, at, 8 * MiB).Finish();
        Assert.Null(filled.Error);
        Assert.Equal(8 * MiB, filled.Value);
        Assert.Equal(ClientProcess.Hash(contents), it.Client.HashRange(at, 8 * MiB));
        Assert.Equal(0, it.Status().Faults);
    }

    [Fact]
    public void Prefetch_of_zeros_and_of_memory_already_there_fills_only_what_is_missing()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(4 * MiB);
        it.Client.Run($"fill {at + (5 * Page)} {Page} 9");
        EngineResult filled = Engine.PrefetchAsync(it.Session, at, 4 * MiB).Finish();
        Assert.Null(filled.Error);
        Assert.Equal((4 * MiB) - Page, filled.Value);
        Assert.True(it.Client.IsFilledWith(at + (5 * Page), Page, 9));
        Assert.Equal(1, it.Status().Faults);
    }

    [Fact]
    public void Policy_may_fill_a_region_as_soon_as_it_is_registered()
    {
        ScriptedSource source = Scripted(MiB);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(MiB, source, Named with { Prefetch = new PrefetchPolicy { Mode = PrefetchMode.Full } });
        Eventually.True(() => it.Status().ResidentBytes == (long)MiB, "the region to be filled");
        it.AssertHolds(at, MiB, source);
        Assert.Equal(0, it.Status().Faults);
    }

    [Fact]
    public void Terabyte_registers_quickly_and_costs_nothing_until_touched()
    {
        ServedClient it = Serve(policy: Zero);
        ulong before = (ulong)Engine.Loops().Sum(loop => (long)loop.PageTableBytes);
        ulong at = 0;
        AssertQuick(() => at = it.MapRegistered(1UL << 40));
        it.Client.Run($"touch {at} {1UL << 40} {1UL << 35}");
        ulong after = (ulong)Engine.Loops().Sum(loop => (long)loop.PageTableBytes);
        Assert.True(after - before <= 2 * MiB, $"{after - before} bytes of page tables");
        Assert.Equal(32, it.Status().Faults);
    }

    [Fact]
    public void Wake_makes_the_kernel_report_a_waiting_fault_again()
    {
        ScriptedSource source = Scripted(Page);
        source.Hold();
        ServedClient it = Serve();
        ulong at = it.MapRegistered(Page, source);
        PendingReply read = it.Client.Begin($"read {at}", 1);
        source.WaitForFetches(1);
        Assert.Null(Engine.WakeAsync(it.Session, at, Page).Finish().Error);
        Eventually.True(() => CountersOf(Alice).Faults(FaultKind.Missing, FaultOutcome.Duplicate) == 1, "the second report");
        source.Release();
        Assert.Equal((ulong)source.ByteOf(0), read.AwaitValue());
    }

    [Fact]
    public void Unregister_gives_the_rest_to_the_kernel()
    {
        ScriptedSource source = Scripted(4 * Page);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(4 * Page, source);
        it.AssertHolds(at, 2 * Page, source);
        Assert.Null(Engine.UnregisterAsync(it.Session, at + Page, 2 * Page).Finish().Error);
        Assert.Equal((ulong)source.ByteOf((long)Page), it.Client.Run($"read {at + Page}"));
        it.AssertZero(at + (2 * Page), Page);
        it.AssertHolds(at + (3 * Page), Page, source, 3 * (long)Page);
        Assert.Equal([(at, Page), (at + (3 * Page), Page)], it.Regions().Select(r => (r.Start, r.Length)));
        Assert.Equal(Errno.ENOENT, Engine.UnregisterAsync(it.Session, at + Page, Page).Finish().Error!.Errno);
    }

    [Fact]
    public void Unregister_lets_a_waiting_thread_go_on()
    {
        ScriptedSource source = Scripted(Page);
        source.Hold();
        ServedClient it = Serve();
        ulong at = it.MapRegistered(Page, source);
        PendingReply read = it.Client.Begin($"read {at}", 1);
        source.WaitForFetches(1);
        Assert.Null(Engine.UnregisterAsync(it.Session, at, Page).Finish().Error);
        Assert.Equal(0UL, read.AwaitValue());
    }

    [Fact]
    public void Bye_is_refused_while_pages_are_missing_that_only_the_source_has()
    {
        ScriptedSource source = Scripted(4 * Page);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(4 * Page, source);
        it.Client.Run($"touch {at} {3 * Page}");
        Assert.Equal(Errno.EBUSY, Engine.EndAsync(it.Session, EndMode.Bye).Finish().Error!.Errno);
        Assert.Null(Engine.PrefetchAsync(it.Session, at, 4 * Page).Finish().Error);
        Assert.Null(Engine.EndAsync(it.Session, EndMode.Bye).Finish().Error);
        Assert.Equal(SessionEndReason.Bye, WaitForEvent<SessionEnded>().Reason);
        it.AssertHolds(at, 4 * Page, source);
        Assert.Equal(Errno.ESRCH, Engine.PrefetchAsync(it.Session, at, Page).Finish().Error!.Errno);
    }

    [Fact]
    public void Mailbox_does_not_stand_in_the_way_of_a_bye()
    {
        ScriptedSource source = Scripted(Page);
        ServedClient it = Serve(policy: Named with { Source = source });
        ulong at = it.MapRegistered(Page, flags: RegionFlags.Mailbox);
        Assert.NotEqual(0UL, it.Client.Run($"add {at} 1"));
        Assert.Null(Engine.UnregisterAsync(it.Session, at, Page).Finish().Error);
        it.MapRegistered(Page, flags: RegionFlags.Mailbox);
        Assert.Null(Engine.EndAsync(it.Session, EndMode.Bye).Finish().Error);
        Assert.Equal(0, source.Entered);
    }

    [Fact]
    public void Stop_releases_what_zeros_can_replace_leaves_the_rest_to_its_keeper_and_kills_who_has_none()
    {
        ScriptedSource source = Scripted(Page);
        ServedClient zero = Serve(policy: Zero);
        ServedClient kept = Serve(keeper: true);
        ServedClient lost = Serve();
        ulong atZero = zero.MapRegistered(Page);
        kept.MapRegistered(Page, source);
        lost.MapRegistered(Page, source);
        Assert.Equal(0, Engine.StopAsync(TimeSpan.FromSeconds(10)).Finish());
        lost.Client.WaitForExit();
        Assert.Equal(SessionEndReason.Released, WaitForEvent<SessionEnded>(e => e.Session == zero.Session).Reason);
        Assert.Equal(SessionEndReason.LeftToKeeper, WaitForEvent<SessionEnded>(e => e.Session == kept.Session).Reason);
        Assert.Equal(SessionEndReason.ClientKilled, WaitForEvent<SessionEnded>(e => e.Session == lost.Session).Reason);
        zero.AssertZero(atZero, Page);
        Assert.False(kept.Client.HasExited);
    }

    [Fact]
    public void Busy_polling_serves_one_client_and_neglects_no_other()
    {
        Policy spinning = Zero with { BusyPoll = TimeSpan.FromMilliseconds(1) };
        Options = Options with { FaultLoops = 1 };
        ServedClient hot = Serve(policy: spinning);
        ServedClient cold = Serve(policy: Zero);
        ulong atHot = hot.MapRegistered(16 * MiB);
        ulong atCold = cold.MapRegistered(MiB);
        PendingReply busy = hot.Client.Begin($"touch {atHot} {16 * MiB}", 1);
        cold.Client.Run($"touch {atCold} {MiB}");
        busy.AwaitValue();
        Assert.Equal(4096, hot.Status().Faults);
        Assert.Equal(256, cold.Status().Faults);
        Assert.True(Engine.Loops()[0].SpinNanoseconds > 0, "the loop never spun");
    }

    [Fact]
    public void Samples_tell_every_fault_with_its_tenant_and_time()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(16 * Page);
        long began = MonotonicClock.NowNanoseconds;
        it.Client.Run($"touch {at} {16 * Page}");
        FaultSample[] samples = new FaultSample[100];
        int count = DrainSamples(samples);
        long most = MonotonicClock.NowNanoseconds - began;
        Assert.Equal(16, count);
        Assert.All(samples[..count], sample =>
        {
            Assert.Equal("alice", Engine.TenantName(sample.Tenant));
            Assert.Equal((FaultKind.Missing, FaultOutcome.Zeroed), (sample.Kind, sample.Outcome));
            Assert.InRange(sample.DurationNanoseconds, 0, most);
        });
        Assert.Equal(16, CountersOf(Alice).Faults(FaultKind.Missing, FaultOutcome.Zeroed));
    }
}
