using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>What a snapshot knows of the regions it is of.</summary>
public sealed class SnapshotStateTests : SnapshotTest
{
    private const ulong Huge = HugePages.PageSize;

    [Fact]
    public void Memory_that_cannot_be_had_is_told_before_anything_is_protected()
    {
        using Made made = new(ServeStock());
        Assert.False(made.Snapshot.TryPrepare([new FrozenRegion(0, 1UL << 62, Page, 0, default, false, false)]));

        // What there was of it is not missed by the next.
        Assert.True(made.Snapshot.TryPrepare([new FrozenRegion(0, 64 * Page, Page, 0, default, false, false)]));
    }

    [Fact]
    public void Writers_are_let_go_by_a_MiB_or_by_a_page_that_is_larger()
    {
        using Made made = new(ServeStock());
        ulong small = 64 * MiB;
        Assert.True(made.Snapshot.TryPrepare(
        [
            new FrozenRegion(Page, small, Page, 0, default, false, false),
            new FrozenRegion(small, small + (4 * Huge), Huge, 16383, default, false, false),
        ]));
        ulong turn = small + (4 * Huge);
        Assert.Equal(MiB, made.Snapshot.EndOfSlice(0, turn));
        Assert.Equal(3 * MiB, made.Snapshot.EndOfSlice((2 * MiB) + Page, turn));
        Assert.Equal(small, made.Snapshot.EndOfSlice(small - Page, turn));
        Assert.Equal(small + Huge, made.Snapshot.EndOfSlice(small, turn));
        Assert.Equal(2 * Page, made.Snapshot.EndOfSlice(Page, 2 * Page));
    }

    [Fact]
    public void Page_is_found_by_its_number()
    {
        using Made made = new(ServeStock());
        FrozenRegion[] regions =
        [
            new(10 * Page, 13 * Page, Page, 0, default, false, false),
            new(100 * Page, 101 * Page, Page, 3, default, false, false),
            new(4 * Huge, 5 * Huge, Huge, 4, default, false, false),
        ];
        Assert.True(made.Snapshot.TryPrepare(regions));
        Assert.Equal([0, 0, 0, 1, 2, 2], new long[] { 0, 1, 2, 3, 4, 515 }.Select(page => Array.IndexOf(regions, made.Snapshot.Regions.FindNumber(page))));
        Assert.Equal(12 * Page, regions[0].AddressOf(2));
        Assert.Equal(4 * Huge, regions[2].AddressOf(regions[2].PageIndexOf(4 * Huge)));
    }

    [Fact]
    public void Writers_that_are_held_before_the_instant_wait_no_longer_than_after_it()
    {
        using Made made = new(ServeStock());
        made.Snapshot.Guard.Await(Page, now: 100, isInTurn: false);
        made.Snapshot.Guard.Check(101);
        Assert.Null(made.Snapshot.Failure);
        made.Snapshot.Guard.Check(102);
        Assert.Equal(Errno.ETIMEDOUT, made.Snapshot.Failure?.Errno);
        Assert.Contains("kept changing", made.Snapshot.Failure!.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Writers_that_were_let_go_do_not_wait_any_more()
    {
        using Made made = new(ServeStock());
        made.Snapshot.Guard.Await(Page, now: 100, isInTurn: false);
        made.Snapshot.Guard.Await(2 * Page, now: 100, isInTurn: true);
        made.Snapshot.Guard.Forget();
        made.Snapshot.Guard.Check(1000);
        Assert.Null(made.Snapshot.Failure);
    }

    [Fact]
    public void What_is_noted_of_pages_is_taken_off_the_memory_for_copying()
    {
        using SafeFile output = FileIo.Open(Temp.Combine("image"), OpenFlags.ReadWrite | OpenFlags.Create);
        SnapshotRequest request = new() { Output = output, BufferBytes = 64 << 20 };
        Assert.Equal(48L << 20, request.BytesForCopying(0));
        Assert.Equal(46L << 20, request.BytesForCopying(2 << 20));
    }

    private sealed class Made : IDisposable
    {
        private readonly PresenceMap _presence;
        private readonly ClientReads _reads;

        public Made(ServedClient it)
        {
            _presence = PresenceMap.Of(it.Session);
            _reads = new ClientReads(PagemapScan.OpenPagemap(it.Session.Pid));
            Snapshot = new Snapshot(it.Session, _presence, new SnapshotProgress()) { StallLimit = 1, Saver = new PageSaver(16, null), Reads = _reads };
        }

        public Snapshot Snapshot { get; }

        public void Dispose()
        {
            Snapshot.Dispose();
            _reads.Dispose();
            _presence.Dispose();
        }
    }
}
