using UffdManager.Engine.Loops;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Events;

/// <summary>munmap, mremap, mprotect and mmap over what was there: the region map follows.</summary>
public sealed class MappingTests : EngineTest
{
    private const int ReadOnly = 1;

    [Fact]
    public void Unmapped_range_is_forgotten_whole()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(8 * Page);
        it.Client.Run($"touch {at} {8 * Page}");
        it.Client.Run($"munmap {at} {8 * Page}");
        Assert.Empty(it.Regions());
        SessionStatus status = it.Status();
        Assert.Equal((0, 0UL, 0L), (status.Regions, status.RegisteredBytes, status.ResidentBytes));
        Assert.Equal(0, Alice.Usage.Regions);
        Assert.Equal(1, CountersOf(Alice).Events(EventKind.Unmap));
    }

    [Theory]
    [InlineData(0UL, 3UL)]
    [InlineData(5UL, 3UL)]
    [InlineData(2UL, 4UL)]
    public void Range_cut_by_an_unmap_keeps_its_contents_on_both_sides(ulong first, ulong pages)
    {
        ScriptedSource source = Scripted(8 * Page);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(8 * Page, source);
        it.Client.WriteByte(at, 254);
        it.Client.Run($"munmap {at + (first * Page)} {pages * Page}");
        Assert.Equal(8 - pages, it.Status().RegisteredBytes / Page);
        for (ulong page = 0; page < 8; page++)
        {
            if (page >= first && page < first + pages)
                Assert.Equal(ClientReply.Sigsegv, it.Client.Try($"read {at + (page * Page)}").Signal);
            else if (page > 0)
                it.AssertHolds(at + (page * Page), Page, source, (long)(page * Page));
            else
                Assert.Equal(254, it.Client.ReadByte(at));
        }
    }

    [Fact]
    public void Memory_mapped_over_a_region_is_the_kernels_own()
    {
        ScriptedSource source = Scripted(8 * Page);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(8 * Page, source);
        it.Client.Run($"mapfixed {at + (2 * Page)} {2 * Page}");
        it.AssertZero(at + (2 * Page), 2 * Page);
        it.AssertHolds(at, 2 * Page, source);
        it.AssertHolds(at + (4 * Page), 4 * Page, source, 4 * (long)Page);
        Assert.Equal(6UL, it.Status().RegisteredBytes / Page);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Moved_range_takes_its_contents_along(bool inMemory)
    {
        ScriptedSource source = Scripted(8 * Page);
        source.InMemory = inMemory;
        ServedClient it = Serve();
        ulong at = it.MapRegistered(8 * Page, source);
        it.Client.Run($"fill {at} {Page} 250");
        it.Client.Run($"madvise {at + Page} {Page} 4");
        (ulong target, _) = it.Client.Map("anon", 8 * Page);
        Assert.Equal(target, it.Client.Run($"mremap {at} {8 * Page} {8 * Page} {target}"));
        Assert.True(it.Client.IsFilledWith(target, Page, 250));
        it.AssertZero(target + Page, Page);
        it.AssertHolds(target + (2 * Page), 6 * Page, source, 2 * (long)Page);
        Assert.Equal([(target, 8 * Page, 0L)], it.Regions().Select(r => (r.Start, r.Length, r.SourceOffset)));
        Assert.Equal(ClientReply.Sigsegv, it.Client.Try($"read {at}").Signal);
        Assert.Equal(8 * (long)Page, it.Status().ResidentBytes);
        Assert.Equal(1, Alice.Usage.Regions);
        Assert.Equal(1, CountersOf(Alice).Events(EventKind.Remap));
    }

    [Fact]
    public void Middle_of_a_range_may_move_away()
    {
        ScriptedSource source = Scripted(8 * Page);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(8 * Page, source);
        it.Client.Run($"touch {at + (3 * Page)} {Page}");
        (ulong target, _) = it.Client.Map("anon", 2 * Page);
        it.Client.Run($"mremap {at + (3 * Page)} {2 * Page} {2 * Page} {target}");
        it.AssertHolds(target, 2 * Page, source, 3 * (long)Page);
        it.AssertHolds(at, 3 * Page, source);
        it.AssertHolds(at + (5 * Page), 3 * Page, source, 5 * (long)Page);
        Assert.Equal(3, it.Status().Regions);
    }

    [Fact]
    public void Range_grown_in_place_is_served_in_its_tail_too()
    {
        ScriptedSource source = Scripted(8 * Page);
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map("anon", 8 * Page);
        it.Client.Run($"munmap {at + (4 * Page)} {4 * Page}");
        it.Register(at, 4 * Page, source);
        it.AssertHolds(at, 2 * Page, source);
        Assert.Equal(at, it.Client.Run($"mremap {at} {4 * Page} {8 * Page}"));
        it.AssertHolds(at + (4 * Page), 4 * Page, source, 4 * (long)Page);
        it.AssertHolds(at, 4 * Page, source);
        Assert.Equal((1, 8 * Page), (it.Status().Regions, it.Status().RegisteredBytes));
    }

    [Fact]
    public void Growth_is_not_guessed_while_an_event_is_outstanding()
    {
        // What is seen in the client may be a region that has just moved there: taken for growth it would be displaced by the event of its own move.
        Options = Options with { FaultLoops = 1 };
        ServedClient it = Serve(policy: Zero);
        ulong other = it.MapRegistered(Page);
        it.Client.WriteByte(other, 1);
        (ulong at, _) = it.Client.Map("anon", 8 * Page);
        it.Client.Run($"munmap {at + (4 * Page)} {4 * Page}");
        it.Register(at, 4 * Page);
        Assert.Equal(at, it.Client.Run($"mremap {at} {4 * Page} {8 * Page}"));
        using ManualResetEventSlim goesOn = new();
        LoopCommand<GrowthAnswer> look = new(loop =>
        {
            Assert.True(goesOn.Wait(Eventually.DefaultDeadline));
            Assert.True(Userfaultfd.IsChanging(it.Session.Lease));
            return Growth.Find(it.Session, at + (5 * Page), out Region? _);
        });
        it.Session.Loop.Post(look);
        PendingReply change = it.Client.Begin($"madvise {other} {Page} 4", 1);
        Eventually.True(() => Userfaultfd.IsChanging(it.Session.Lease), "the event");
        PendingReply fault = it.Client.Begin($"read {at + (5 * Page)}", 2);
        goesOn.Set();
        Assert.Equal(GrowthAnswer.Unsure, look.Task.Finish());
        change.AwaitValue();
        Assert.Equal(0UL, fault.AwaitValue());
        Assert.Equal(9 * Page, it.Status().RegisteredBytes);
    }

    [Theory]
    [InlineData(UffdFaultFlags.Minor)]
    [InlineData(UffdFaultFlags.WriteProtect | UffdFaultFlags.Write)]
    public void Fault_of_another_mapping_that_was_there_costs_nobody_anything(UffdFaultFlags flags)
    {
        // A mapping of a shared image is touched, unmapped and followed by anonymous memory while its fault waits for the events.
        Options = Options with { FaultLoops = 1 };
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(Page);
        LoopCommand<bool> command = new(loop =>
        {
            loop.DeferUncertain(it.Session, at, flags, MonotonicClock.NowNanoseconds, 0);
            return true;
        });
        it.Session.Loop.Post(command);
        command.Task.Finish();
        FaultKind kind = flags == UffdFaultFlags.Minor ? FaultKind.Minor : FaultKind.WriteProtect;
        Eventually.True(() => CountersOf(Alice).Faults(kind, FaultOutcome.Stale) == 1, "the fault to be tried again");
        Assert.Equal(0, it.Client.ReadByte(at));
        Assert.Null(Seen<ClientKilled>());
    }

    [Fact]
    public void Write_fault_of_a_page_that_was_given_back_since_leaves_it_given_back()
    {
        Options = Options with { FaultLoops = 1 };
        ServedClient it = Serve();
        ulong at = it.MapRegistered(Page, Scripted(Page), modes: UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect);
        it.Client.WriteByte(at, 1);
        it.Client.Run($"madvise {at} {Page} 4");
        Assert.Equal(0, it.Status().ResidentBytes);
        LoopCommand<bool> command = new(loop =>
        {
            loop.DeferUncertain(it.Session, at, UffdFaultFlags.WriteProtect | UffdFaultFlags.Write, MonotonicClock.NowNanoseconds, 0);
            return true;
        });
        it.Session.Loop.Post(command);
        Assert.True(command.Task.Finish());
        Eventually.True(() => CountersOf(Alice).Faults(FaultKind.WriteProtect, FaultOutcome.Unprotected) == 1, "the fault to be tried again");
        Assert.Equal(0, it.Status().ResidentBytes);
        Assert.Equal(0, it.Client.ReadByte(at));
        Assert.Equal((long)Page, it.Status().ResidentBytes);
    }

    [Fact]
    public void Range_that_grew_and_moved_is_served_in_its_tail_too()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(4 * Page);
        it.Client.Run($"fill {at} {2 * Page} 3");
        (ulong target, _) = it.Client.Map("anon", 16 * Page);
        Assert.Equal(target, it.Client.Run($"mremap {at} {4 * Page} {16 * Page} {target}"));
        Assert.True(it.Client.IsFilledWith(target, 2 * Page, 3));
        it.AssertZero(target + (2 * Page), 14 * Page);
        it.Client.Run($"fill {target + (12 * Page)} {4 * Page} 4");
        Assert.True(it.Client.IsFilledWith(target + (12 * Page), 4 * Page, 4));
        Assert.Equal(16 * Page, it.Status().RegisteredBytes);
    }

    [Fact]
    public void Shrunk_range_loses_its_tail()
    {
        ScriptedSource source = Scripted(8 * Page);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(8 * Page, source);
        it.Client.Run($"mremap {at} {8 * Page} {3 * Page}");
        it.AssertHolds(at, 3 * Page, source);
        Assert.Equal(3 * Page, it.Status().RegisteredBytes);
    }

    [Fact]
    public void Pages_moved_without_unmapping_leave_zeros_behind()
    {
        ScriptedSource source = Scripted(4 * Page);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(4 * Page, source);
        it.AssertHolds(at, 2 * Page, source);
        ulong target = it.Client.Run($"dontunmap {at} {4 * Page}");
        it.AssertHolds(target, 4 * Page, source);
        it.AssertZero(at, 4 * Page);
        it.Client.Run($"fill {at} {4 * Page} 5");
        it.AssertHolds(target, 4 * Page, source);
        Assert.Equal(2, it.Status().Regions);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Window_across_the_border_of_a_mapping_falls_back_to_single_pages(bool inMemory)
    {
        ScriptedSource source = Scripted(32 * Page);
        source.InMemory = inMemory;
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = 16 * 4096 });
        ulong at = it.MapRegistered(32 * Page, source);

        // One mapping becomes three; UFFDIO_COPY across any border says ENOENT although all of it is registered.
        it.Client.Run($"mprotect {at + (5 * Page)} {Page} {ReadOnly}");
        it.Client.Run($"mprotect {at + (20 * Page)} {3 * Page} {ReadOnly}");
        it.AssertHolds(at + (6 * Page), Page, source, 6 * (long)Page);
        it.AssertHolds(at + (20 * Page), Page, source, 20 * (long)Page);
        it.AssertHolds(at, 32 * Page, source);
        Assert.Equal(1, it.Status().Regions);
    }

    [Fact]
    public void Prefetch_crosses_the_borders_of_mappings()
    {
        ScriptedSource source = Scripted(256 * Page);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(256 * Page, source);
        for (ulong page = 10; page < 250; page += 40)
            it.Client.Run($"mprotect {at + (page * Page)} {Page} {ReadOnly}");
        Assert.Equal(256 * Page, Engine.PrefetchAsync(it.Session, at, 256 * Page).Finish().Value);
        it.AssertHolds(at, 256 * Page, source);
        Assert.Equal(0, it.Status().Faults);
    }

    [Fact]
    public void Range_registered_again_takes_the_new_source_for_what_is_missing()
    {
        ScriptedSource first = Scripted(4 * Page, seed: 1);
        ScriptedSource second = Scripted(4 * Page, seed: 2);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(4 * Page, first);
        it.AssertHolds(at, Page, first);
        it.Register(at, 4 * Page, second);
        it.AssertHolds(at, Page, first);
        it.AssertHolds(at + Page, 3 * Page, second, (long)Page);
        Assert.Equal((1, 4 * Page), (it.Status().Regions, it.Status().RegisteredBytes));
    }
}
