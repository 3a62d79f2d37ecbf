using UffdManager.Engine.Regions;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Events;

/// <summary>madvise: memory that the client gives back.</summary>
public sealed class RemoveTests : EngineTest
{
    private const int DontNeed = 4;
    private const int Free = 8;
    private const int Remove = 9;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Removed_pages_read_as_zeros_and_never_as_the_source(bool inMemory)
    {
        ScriptedSource source = Scripted(16 * Page);
        source.InMemory = inMemory;
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = 16384 });
        ulong at = it.MapRegistered(16 * Page, source);
        it.AssertHolds(at, 8 * Page, source);

        // Pages 2 to 9: some present, some never touched.
        it.Client.Run($"madvise {at + (2 * Page)} {8 * Page} {DontNeed}");
        it.AssertHolds(at, 2 * Page, source);
        it.AssertZero(at + (2 * Page), 8 * Page);
        it.AssertHolds(at + (10 * Page), 6 * Page, source, 10 * (long)Page);
        Assert.Equal(1, CountersOf(Alice).Events(EventKind.Remove));
        Assert.Equal(16 * (long)Page, it.Status().ResidentBytes);
    }

    [Fact]
    public void Removed_pages_of_a_private_file_read_as_the_file_again()
    {
        ScriptedSource source = Scripted(4 * Page);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(4 * Page, source, flags: RegionFlags.RemoveMeansSource);
        it.Client.Run($"fill {at} {4 * Page} 255");
        it.Client.Run($"madvise {at + Page} {2 * Page} {DontNeed}");
        Assert.True(it.Client.IsFilledWith(at, Page, 255));
        it.AssertHolds(at + Page, 2 * Page, source, (long)Page);
        Assert.True(it.Client.IsFilledWith(at + (3 * Page), Page, 255));
    }

    [Fact]
    public void Removing_a_terabyte_is_quick_and_small()
    {
        const ulong Terabyte = 1UL << 40;
        ScriptedSource source = Scripted(Terabyte);
        source.InMemory = true;
        ServedClient it = Serve();
        ulong at = it.MapRegistered(Terabyte, source);
        ulong middle = at + (Terabyte / 2);
        it.AssertHolds(middle, 2 * Page, source, (long)Terabyte / 2);
        ulong before = (ulong)Engine.Loops().Sum(loop => (long)loop.PageTableBytes);
        AssertQuick(() => it.Client.Run($"madvise {at + Page} {Terabyte - (2 * Page)} {DontNeed}"));
        ulong after = (ulong)Engine.Loops().Sum(loop => (long)loop.PageTableBytes);
        Assert.True(after - before <= 2 * MiB, $"{after - before} bytes of page tables");
        it.AssertZero(middle, 2 * Page);
        it.AssertZero(at + Page, Page);
        it.AssertHolds(at, Page, source);
        it.AssertHolds(at + Terabyte - Page, Page, source, (long)(Terabyte - Page));
    }

    [Fact]
    public void Freed_pages_keep_what_is_written_after()
    {
        ScriptedSource source = Scripted(4 * Page);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(4 * Page, source);
        it.AssertHolds(at, 2 * Page, source);

        // The kernel may take a freed page or not; one that it never had cannot come back from the source either.
        it.Client.Run($"madvise {at} {4 * Page} {Free}");
        Assert.Contains(it.Client.ReadByte(at), new byte[] { 0, source.ByteOf(0) });
        it.Client.WriteByte(at + Page, 99);
        Assert.Equal(99, it.Client.ReadByte(at + Page));
        it.AssertZero(at + (2 * Page), 2 * Page);
    }

    [Fact]
    public void Hole_that_a_client_tears_into_shared_memory_reads_as_zeros()
    {
        ScriptedSource source = Scripted(4 * Page);
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map("memfd-shared", 4 * Page);
        it.Register(at, 4 * Page, source);
        it.AssertHolds(at, 3 * Page, source);
        it.Client.Run($"madvise {at + Page} {3 * Page} {Remove}");
        it.AssertHolds(at, Page, source);
        it.AssertZero(at + Page, 3 * Page);
    }

    [Fact]
    public void Removed_pages_may_be_written_removed_and_filled_ahead_again()
    {
        ScriptedSource source = Scripted(64 * Page);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(64 * Page, source);
        for (byte round = 1; round <= 5; round++)
        {
            it.Client.Run($"madvise {at} {32 * Page} {DontNeed}");
            it.Client.Run($"fill {at + Page} {Page} {round}");
            it.AssertZero(at, Page);
            Assert.True(it.Client.IsFilledWith(at + Page, Page, round));
        }

        Assert.Null(Engine.PrefetchAsync(it.Session, at, 64 * Page).Finish().Error);
        it.AssertZero(at + (2 * Page), 30 * Page);
        it.AssertHolds(at + (32 * Page), 32 * Page, source, 32 * (long)Page);
    }

    [Fact]
    public void Threads_that_remove_and_read_one_page_never_see_the_source_again()
    {
        ScriptedSource source = Scripted(Page);
        source.InMemory = true;
        ServedClient it = Serve();
        ulong at = it.MapRegistered(Page, source);
        it.AssertHolds(at, Page, source);
        it.Client.Run($"madvise {at} {Page} {DontNeed}");
        Parallel.For(0, 4, thread =>
        {
            for (int i = 0; i < 50; i++)
            {
                if (thread == 0)
                    it.Client.Run($"madvise {at} {Page} {DontNeed}", thread);
                else
                    Assert.Equal(0UL, it.Client.Run($"read {at}", thread));
            }
        });
    }
}
