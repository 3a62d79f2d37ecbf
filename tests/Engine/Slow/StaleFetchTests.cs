using UffdManager.Engine.Regions;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Slow;

/// <summary>
/// The ground moves while a source is read. In every test the interleaving is forced by a source that hangs:
/// <code>
/// client thread 1     engine                 client thread 2
/// read page ........&gt; fetch hangs
///                     event is applied &lt;...  madvise, munmap, mremap, ...
///                     fetch is released
///                     what came is judged by what the page is now
/// </code>
/// The call of thread 2 returns only after its event was read, and the fetch comes back to the same loop that read it.
/// </summary>
public sealed class StaleFetchTests : EngineTest
{
    [Fact]
    public void Page_removed_during_its_fetch_reads_as_zeros()
    {
        ScriptedSource source = Held(8);
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = 8 * 4096 });
        ulong at = it.MapRegistered(8 * Page, source);
        PendingReply read = it.Client.Begin($"read {at + Page}", 1);
        source.WaitForFetches(1);
        it.Client.Run($"madvise {at} {4 * Page} 4", 2);
        source.Release();
        Assert.Equal(0UL, read.AwaitValue());
        it.AssertZero(at, 4 * Page);
        it.AssertHolds(at + (4 * Page), 4 * Page, source, 4 * (long)Page);
    }

    [Fact]
    public void Page_of_a_private_file_removed_during_its_fetch_reads_as_the_file()
    {
        ScriptedSource source = Held(4);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(4 * Page, source, flags: RegionFlags.RemoveMeansSource);
        PendingReply read = it.Client.Begin($"read {at}", 1);
        source.WaitForFetches(1);
        it.Client.Run($"madvise {at} {4 * Page} 4", 2);
        source.Release();
        Assert.Equal((ulong)source.ByteOf(0), read.AwaitValue());
        it.AssertHolds(at, 4 * Page, source);
    }

    [Fact]
    public void Page_removed_and_written_during_its_fetch_keeps_what_was_written()
    {
        ScriptedSource source = Held(4);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(4 * Page, source);
        PendingReply read = it.Client.Begin($"read {at}", 1);
        source.WaitForFetches(1);
        it.Client.Run($"madvise {at} {Page} 4", 2);
        it.Client.Run($"write {at} 200", 2);
        source.Release();
        Eventually.True(() => CountersOf(Alice).PagesInFlight == 0, "the fetch to come back");
        Assert.Equal(200, it.Client.ReadByte(at));
        Assert.Contains(read.AwaitValue(), new ulong[] { 0, 200 });
    }

    [Fact]
    public void Range_unmapped_and_registered_anew_during_a_fetch_holds_the_new_source()
    {
        ScriptedSource old = Held(8);
        ScriptedSource young = Scripted(8 * Page, seed: 2);
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = 8 * 4096 });
        ulong at = it.MapRegistered(8 * Page, old);
        PendingReply read = it.Client.Begin($"read {at}", 1);
        old.WaitForFetches(1);
        it.Client.Run($"munmap {at} {8 * Page}", 2);
        Assert.Equal(ClientReply.Sigsegv, read.Await().Signal);
        it.Client.Run($"mapfixed {at} {8 * Page}", 2);
        it.Register(at, 8 * Page, young, policy: Named);
        it.AssertHolds(at, 2 * Page, young);
        old.Release();
        Eventually.True(() => CountersOf(Alice).Fetches(FetchOutcome.Discarded) == 1, "the stale fetch");
        it.AssertHolds(at, 8 * Page, young);
    }

    [Fact]
    public void Range_unregistered_and_registered_anew_during_a_fetch_holds_the_new_source()
    {
        ScriptedSource old = Held(8);
        ScriptedSource young = Held(8, seed: 2);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(8 * Page, old);
        PendingReply first = it.Client.Begin($"read {at}", 1);
        old.WaitForFetches(1);

        // Registering over it replaces it in one step, so the waiting thread cannot see the kernel's zeros in between.
        it.Register(at, 8 * Page, young);
        young.WaitForFetches(1);
        old.Release();
        Eventually.True(() => CountersOf(Alice).Fetches(FetchOutcome.Discarded) == 1, "the stale fetch");
        Assert.False(first.IsCompleted);
        young.Release();
        Assert.Equal((ulong)young.ByteOf(0), first.AwaitValue());
    }

    [Fact]
    public void Range_moved_during_a_fetch_holds_its_contents_at_the_new_address_only()
    {
        ScriptedSource source = Held(8);
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = 8 * 4096 });
        ulong at = it.MapRegistered(8 * Page, source);
        (ulong target, _) = it.Client.Map("anon", 8 * Page);
        PendingReply read = it.Client.Begin($"read {at}", 1);
        source.WaitForFetches(1);
        it.Client.Run($"mremap {at} {8 * Page} {8 * Page} {target}", 2);
        Assert.Equal(ClientReply.Sigsegv, read.Await().Signal);
        PendingReply again = it.Client.Begin($"read {target}", 1);
        source.WaitForFetches(2);
        source.Release();
        Assert.Equal((ulong)source.ByteOf(0), again.AwaitValue());
        it.AssertHolds(target, 8 * Page, source);
        Assert.Equal(8 * (long)Page, it.Status().ResidentBytes);
    }

    [Fact]
    public void Thread_whose_page_moved_away_without_unmapping_reads_zeros()
    {
        ScriptedSource source = Held(4);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(4 * Page, source);
        PendingReply read = it.Client.Begin($"read {at}", 1);
        source.WaitForFetches(1);
        ulong target = it.Client.Run($"dontunmap {at} {4 * Page}", 2);
        Assert.Equal(0UL, read.AwaitValue());
        source.Release();
        it.AssertHolds(target, 4 * Page, source);
        it.AssertZero(at, 4 * Page);
    }

    [Fact]
    public void Window_cut_by_an_unmap_during_its_fetch_still_serves_who_waits()
    {
        ScriptedSource source = Held(8);
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = 8 * 4096 });
        ulong at = it.MapRegistered(8 * Page, source);
        PendingReply read = it.Client.Begin($"read {at}", 1);
        source.WaitForFetches(1);
        it.Client.Run($"munmap {at + (4 * Page)} {4 * Page}", 2);
        source.Release();
        Assert.Equal((ulong)source.ByteOf(0), read.AwaitValue());
        it.AssertHolds(at, 4 * Page, source);
    }

    [Fact]
    public void Range_removed_during_its_prefetch_reads_as_zeros()
    {
        ScriptedSource source = Held(64);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(64 * Page, source);
        Task<EngineResult> prefetch = Engine.PrefetchAsync(it.Session, at, 64 * Page);
        source.WaitForFetches(1);
        it.Client.Run($"madvise {at + (8 * Page)} {8 * Page} 4", 2);
        source.Release();
        Assert.Null(prefetch.Finish().Error);
        it.AssertHolds(at, 8 * Page, source);
        it.AssertZero(at + (8 * Page), 8 * Page);
        it.AssertHolds(at + (16 * Page), 48 * Page, source, 16 * (long)Page);
    }

    [Fact]
    public void Range_grown_during_a_fetch_is_served_on()
    {
        ScriptedSource source = Held(8);
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map("anon", 8 * Page);
        it.Client.Run($"munmap {at + (4 * Page)} {4 * Page}");
        it.Register(at, 4 * Page, source);
        PendingReply read = it.Client.Begin($"read {at}", 1);
        source.WaitForFetches(1);
        Assert.Equal(at, it.Client.Run($"mremap {at} {4 * Page} {8 * Page}", 2));
        PendingReply tail = it.Client.Begin($"read {at + (7 * Page)}", 2);
        source.WaitForFetches(2);
        source.Release();
        Assert.Equal((ulong)source.ByteOf(0), read.AwaitValue());
        Assert.Equal((ulong)source.ByteOf(7 * (long)Page), tail.AwaitValue());
    }

    private ScriptedSource Held(ulong pages, byte seed = 1)
    {
        ScriptedSource source = Scripted(pages * Page, seed);
        source.Hold();
        return source;
    }
}
