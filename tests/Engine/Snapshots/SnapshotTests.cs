using UffdManager.Engine.Regions;
using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>What a snapshot holds: the memory of one instant, wherever each page was at that time.</summary>
public sealed class SnapshotTests : SnapshotTest
{
    [SkippableTheory]
    [InlineData(UffdFeatures.EventRemove)]
    [InlineData(UffdFeatures.None)]
    [InlineData(UffdFeatures.EventRemove | UffdFeatures.PagefaultFlagWp | UffdFeatures.WpUnpopulated | UffdFeatures.WpHugetlbfsShmem)]
    public void Snapshot_holds_what_was_written_filled_missing_and_given_back(UffdFeatures features)
    {
        const ulong Pages = 600;
        FileSource file = RandomFile((long)(Pages * Page), 5, out byte[] wanted);
        ServedClient it = ServeStock(features);
        ulong at = it.MapRegistered(Pages * Page, file);
        it.Client.Run($"touch {at} {100 * Page}");
        it.Client.Run($"fill {at + (50 * Page)} {200 * Page} 7");
        Array.Fill(wanted, (byte)7, 50 * (int)Page, 200 * (int)Page);
        if ((features & UffdFeatures.EventRemove) != 0)
        {
            it.Client.Run($"madvise {at + (60 * Page)} {20 * Page} 4");
            Array.Clear(wanted, 60 * (int)Page, 20 * (int)Page);
            it.Client.Run($"madvise {at + (400 * Page)} {20 * Page} 4");
            Array.Clear(wanted, 400 * (int)Page, 20 * (int)Page);
        }

        Assert.Equal(wanted, Take(it));

        // Nothing was filled for it, and the client goes on without a trace.
        long faults = it.Status().Faults;
        it.Client.Run($"fill {at} {50 * Page} 3");
        Array.Fill(wanted, (byte)3, 0, 50 * (int)Page);
        Assert.Equal(faults, it.Status().Faults);
        Assert.Equal(wanted, Take(it));
    }

    [Fact]
    public void Holes_of_the_image_are_what_was_zero()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(2048 * Page);
        it.Client.WriteByte(at + (1000 * Page), 1);
        it.AssertZero(at, 10 * Page);
        RunningSnapshot snapshot = Begin(it);
        byte[] image = snapshot.Finish();
        Assert.Equal(1, image[1000 * Page]);
        Assert.Equal((long)Page, snapshot.Progress.WrittenBytes);
        using SafeFile file = FileIo.Open(snapshot.Path, OpenFlags.ReadOnly);
        Assert.Equal(1000 * (long)Page, FileIo.SeekData(file, 0));
        Assert.Equal(1001 * (long)Page, FileIo.SeekHole(file, 1000 * (long)Page));
    }

    [Fact]
    public void Memory_from_before_its_registration_is_in_it()
    {
        ServedClient it = ServeStock();
        (ulong at, _) = it.Client.Map("anon", 64 * Page);
        it.Client.Run($"fill {at + (8 * Page)} {8 * Page} 9");
        it.Register(at, 64 * Page, RandomFile(64 * (long)Page, 5, out byte[] wanted));
        Array.Fill(wanted, (byte)9, 8 * (int)Page, 8 * (int)Page);
        Assert.Equal(wanted, Take(it));
    }

    [Theory]
    [InlineData("anon-shared")]
    [InlineData("memfd-shared")]
    [InlineData("memfd-private")]
    public void Shared_memory_and_private_files_are_in_it(string kind)
    {
        ServedClient it = Serve(policy: Zero);
        (ulong at, _) = it.Client.Map(kind, 64 * Page);
        it.Register(at, 64 * Page);
        it.Client.Run($"fill {at + (8 * Page)} {8 * Page} 9");
        byte[] wanted = new byte[64 * Page];
        Array.Fill(wanted, (byte)9, 8 * (int)Page, 8 * (int)Page);
        Assert.Equal(wanted, Take(it));
        it.Client.Run($"fill {at} {64 * Page} 1");
        Assert.True(it.Client.IsFilledWith(at, 64 * Page, 1));
    }

    [SkippableFact]
    public void Huge_pages_are_in_it()
    {
        const ulong Huge = HugePages.PageSize;
        using HugePages pool = HugePages.AtLeast(4);
        ServedClient it = ServeStock();
        (ulong at, _) = it.Client.Map("hugetlb", 4 * Huge);
        it.Register(at, 4 * Huge, RandomFile(4 * (long)Huge, 5, out byte[] wanted));
        it.Client.Run($"fill {at + Huge + Page} {Huge} 6");
        Array.Fill(wanted, (byte)6, (int)(Huge + Page), (int)Huge);
        Assert.Equal(wanted, Take(it));
        it.Client.Run($"fill {at} {2 * Huge} 2");
        Assert.True(it.Client.IsFilledWith(at, 2 * Huge, 2));
    }

    [Fact]
    public void Diff_holds_what_differs_from_its_base_zeros_too()
    {
        FileSource file = RandomFile(512 * (long)Page, 5, out byte[] contents);
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(512 * Page, file);
        it.Client.Run($"touch {at} {200 * Page}");
        it.Client.Run($"fill {at + (10 * Page)} {4 * Page} 7");
        it.Client.Run($"madvise {at + (300 * Page)} {2 * Page} 4");
        it.Client.Run($"fill {at + (20 * Page)} {Page} 0");
        RunningSnapshot snapshot = Begin(it, file);
        byte[] diff = snapshot.Finish();
        Assert.Equal(7 * (long)Page, snapshot.Progress.WrittenBytes);
        using SafeFile written = FileIo.Open(snapshot.Path, OpenFlags.ReadOnly);
        for (int page = 0; page < 512; page++)
        {
            bool isData = FileIo.SeekData(written, page * (long)Page) == page * (long)Page;
            Assert.Equal(page is (>= 10 and < 14) or 20 or 300 or 301, isData);
            Span<byte> here = diff.AsSpan(page * (int)Page, (int)Page);
            Assert.False(isData && here.SequenceEqual(contents.AsSpan(page * (int)Page, (int)Page)));
        }

        Assert.All(diff[(10 * (int)Page)..(14 * (int)Page)], value => Assert.Equal(7, value));
    }

    [Fact]
    public void Base_of_another_size_is_refused()
    {
        ServedClient it = ServeStock();
        it.MapRegistered(8 * Page, Scripted(8 * Page));
        SnapshotReport report = Begin(it, RandomFile(4 * (long)Page, 1, out _)).Report();
        Assert.Equal(Errno.EINVAL, report.Error!.Errno);
    }

    [Theory]
    [InlineData(false, 64 << 20)]
    [InlineData(true, 64 << 20)]
    [InlineData(false, 1)]
    public void Snapshot_of_a_client_that_writes_all_the_time_is_a_state_that_was(bool isTracked, long bufferBytes)
    {
        // One thread writes 1, 2, 3, … to random pages of two ranges. With the highest number that is in the image it is known what every page must hold.
        const int Pages = 2000;
        ServedClient it = ServeStock();
        ulong first = it.MapRegistered(Pages * Page);
        ulong second = it.MapRegistered(Pages * Page);
        (ulong stop, _) = it.Client.Map("anon", Page);
        it.Client.Run($"fill {first} {Pages / 2 * Page} 0");
        if (isTracked)
            Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        PendingReply writer = it.Client.Begin($"scribble {first} {second} {Pages} 99 {stop}", 1);
        long saved = 0;
        long began = MonotonicClock.NowNanoseconds;

        // Where the writer seldom gets a processor it takes some more until it has met one.
        for (int round = 0; round < 5 || saved == 0; round++)
        {
            Assert.True(MonotonicClock.NowNanoseconds - began < Eventually.DefaultDeadline.TotalNanoseconds * 2, "nothing was written meanwhile");
            RunningSnapshot snapshot = Begin(it, bufferBytes: bufferBytes);
            byte[] image = snapshot.Finish();
            saved += snapshot.Progress.SavedPages;
            AssertScribbled(image, Math.Min(first, second) == first, Pages);
            File.Delete(snapshot.Path);
        }

        it.Client.WriteByte(stop, 1);
        Assert.True(writer.AwaitValue() > 0);
    }

    [Fact]
    public void Snapshot_shows_no_effect_without_its_cause()
    {
        // One thread raises a counter, the other copies it to a page of another range, back and forth: never does the copy run ahead, nor lag by more than one.
        ServedClient it = ServeStock();
        ulong[] at = [it.MapRegistered(600 * Page), it.MapRegistered(600 * Page)];
        (ulong stop, _) = it.Client.Map("anon", Page);
        foreach (ulong range in at)
            it.Client.Run($"fill {range} {600 * Page} 1");
        for (int round = 0; round < 6; round++)
        {
            ulong from = at[round % 2] + ((ulong)round * 20 * Page);
            ulong to = at[(round + 1) % 2] + ((ulong)(round + 3) * 20 * Page);
            it.Client.Run($"fill {from} 8 0");
            it.Client.Run($"fill {to} 8 0");
            it.Client.WriteByte(stop, 0);
            PendingReply[] threads = [it.Client.Begin($"relay {from} {to} 0 {stop}", 1), it.Client.Begin($"relay {from} {to} 1 {stop}", 2)];
            RunningSnapshot running = Begin(it);
            SnapshotReport report = running.Report();
            Assert.Null(report.Error);
            byte[] image = File.ReadAllBytes(running.Path);
            ulong cause = WordAt(image, report, from);
            ulong effect = WordAt(image, report, to);
            Assert.True(cause == effect || cause == effect + 1, $"{cause} and {effect}");
            it.Client.WriteByte(stop, 1);
            foreach (PendingReply thread in threads)
                thread.AwaitValue();
        }
    }

    [Fact]
    public void Tracking_goes_on_over_a_snapshot()
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(64 * Page, Scripted(64 * Page));
        it.Client.Run($"touch {at} {32 * Page}");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.WriteByte(at, 1);
        Take(it);
        it.Client.WriteByte(at + Page, 1);
        it.Client.WriteByte(at + (40 * Page), 1);
        Assert.Equal(
            [at, at + (40 * Page)],
            FaultEngine.DirtyPagesAsync(it.Session, 0, 10, reset: false).Finish().Runs.Select(run => run.Start));
    }

    [Fact]
    public void Fork_in_the_middle_leaves_the_image_and_both_processes_right()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(4000 * Page);
        it.Client.Run($"fill {at} {4000 * Page} 5");
        RunningSnapshot snapshot = Begin(it, bufferBytes: 1);
        Eventually.True(() => snapshot.Progress.TotalBytes > 0, "the instant");
        it.Client.Run("fork");
        ClientProcess child = Track(it.Client.AcceptChild());
        child.Run($"fill {at} {4000 * Page} 6");
        it.Client.Run($"fill {at} {4000 * Page} 8");
        Assert.All(snapshot.Finish(), value => Assert.Equal(5, value));
        Assert.True(child.IsFilledWith(at, 4000 * Page, 6));
        Assert.True(it.Client.IsFilledWith(at, 4000 * Page, 8));
    }

    [Fact]
    public void Pages_that_come_while_it_is_taken_hold_their_source()
    {
        FileSource file = RandomFile(4000 * (long)Page, 5, out byte[] contents);
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = 16384 });
        ulong at = it.MapRegistered(4000 * Page, file);
        RunningSnapshot snapshot = Begin(it, bufferBytes: 1);
        Eventually.True(() => snapshot.Progress.TotalBytes > 0, "the instant");
        PendingReply writer = it.Client.Begin($"fill {at + (2000 * Page)} {2000 * Page} 8", 1);
        it.Client.Run($"touch {at} {2000 * Page}");
        Assert.Equal(contents, snapshot.Finish());
        writer.AwaitValue();
        Assert.True(it.Client.IsFilledWith(at + (2000 * Page), 2000 * Page, 8));
    }

    private static ulong WordAt(byte[] image, SnapshotReport report, ulong address)
    {
        SnapshotRegion region = report.Regions.Single(region => address >= region.Start && address < region.Start + region.Length);
        return BitConverter.ToUInt64(image, (int)(region.FileOffset + (long)(address - region.Start)));
    }

    private static void AssertScribbled(byte[] image, bool isInOrder, int pages)
    {
        ulong[] found = new ulong[2 * pages];
        for (int i = 0; i < found.Length; i++)
            found[i] = BitConverter.ToUInt64(image, (isInOrder ? i : (i + pages) % (2 * pages)) * (int)Page);
        ulong last = found.Max();
        ulong[] wanted = new ulong[2 * pages];
        ulong state = 99 | 1;
        for (ulong count = 1; count <= last; count++)
        {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            wanted[state % (ulong)(2 * pages)] = count;
        }

        Assert.Equal(wanted, found);
    }
}
