using UffdManager.Engine.Policies;
using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>Where in the image of a snapshot a page lies: at its offset in the file that all regions show, whatever their addresses.</summary>
public sealed class SnapshotLayoutTests : SnapshotTest
{
    private const ulong Slot = 64 * Page;
    private const ulong Huge = HugePages.PageSize;

    [Fact]
    public void Image_has_each_page_at_its_offset_in_the_source_when_addresses_go_the_other_way()
    {
        FileSource file = RandomFile(3 * (long)Slot, 5, out byte[] wanted);
        ServedClient it = ServeStock();
        ulong[] at = MapDownwards(it, file, 3);
        Change(it, at, wanted);
        RunningSnapshot snapshot = Begin(it);
        SnapshotReport report = snapshot.Report();
        Assert.Null(report.Error);
        Assert.Equal(SnapshotLayout.Source, report.Layout);
        Assert.Equal(at.Order().Select(start => (start, (long)Slot * Array.IndexOf(at, start))), report.Regions.Select(region => (region.Start, region.FileOffset)));
        Assert.Equal(wanted, File.ReadAllBytes(snapshot.Path));
        Assert.Equal(3 * (long)Slot, snapshot.Progress.DoneBytes);
    }

    [Fact]
    public void Diff_upon_the_source_has_what_was_changed_and_nothing_else()
    {
        FileSource file = RandomFile(3 * (long)Slot, 5, out byte[] wanted);
        byte[] before = [.. wanted];
        ServedClient it = ServeStock();
        ulong[] at = MapDownwards(it, file, 3);
        Change(it, at, wanted);
        RunningSnapshot snapshot = Begin(it, file);
        byte[] diff = snapshot.Finish();
        for (int page = 0; page < diff.Length; page += (int)Page)
        {
            Span<byte> here = diff.AsSpan(page, (int)Page);
            Span<byte> now = wanted.AsSpan(page, (int)Page);
            bool isChanged = !now.SequenceEqual(before.AsSpan(page, (int)Page));
            Assert.True(isChanged ? here.SequenceEqual(now) : here.IndexOfAnyExcept((byte)0) < 0, $"the page at {page} of the diff is wrong");
        }

        // In each slot one page was written, and one given back.
        Assert.Equal(6 * (long)Page, snapshot.Progress.WrittenBytes);
    }

    [Fact]
    public void Writers_that_wait_have_their_pages_saved_at_the_offsets_of_the_source()
    {
        // More than what is read ahead of a file that stands still, so that the pages of the writers are saved out of their turn.
        const ulong Large = 4 << 20;
        FileSource file = RandomFile(2 * (long)Large, 5, out byte[] wanted);
        ServedClient it = ServeStock();
        ulong[] at = MapDownwards(it, file, 2, Large);
        foreach (ulong start in at)
            it.Client.Run($"touch {start} {Large}");
        ScriptedSource below = Scripted(2 * Large);
        below.Hold();
        RunningSnapshot snapshot = Begin(it, below, bufferBytes: 1);
        below.WaitForFetches(1);
        foreach (ulong start in at)
            it.Client.WriteByte(start + Large - Page, 9);
        below.Release();
        byte[] diff = snapshot.Finish();
        Assert.True(snapshot.Progress.SavedPages > 0);
        Assert.Equal(wanted, diff);
    }

    [SkippableFact]
    public void Pages_of_two_sizes_of_one_source_lie_at_its_offsets()
    {
        using HugePages pool = HugePages.AtLeast(2);
        FileSource file = RandomFile(3 * (long)Huge, 5, out byte[] wanted);
        ServedClient it = ServeStock();
        ulong small = it.MapRegistered(Huge, file, offset: 2 * (long)Huge);
        (ulong huge, _) = it.Client.Map("hugetlb", 2 * Huge);
        it.Register(huge, 2 * Huge, file);
        it.Client.Run($"fill {small + Page} {Page} 3");
        it.Client.Run($"fill {huge + Huge} {Page} 4");
        Array.Fill(wanted, (byte)3, (2 * (int)Huge) + (int)Page, (int)Page);
        Array.Fill(wanted, (byte)4, (int)Huge, (int)Page);
        Assert.Equal(wanted, Take(it));
    }

    [Fact]
    public void Parts_of_the_source_that_no_region_shows_are_holes_to_its_end()
    {
        FileSource file = RandomFile((3 * (long)Slot) + 100, 5, out byte[] contents);
        ServedClient it = ServeStock();
        it.MapRegistered(Slot, file, offset: (long)Slot);
        RunningSnapshot snapshot = Begin(it);
        Assert.Equal(SnapshotLayout.Source, snapshot.Report().Layout);
        byte[] image = File.ReadAllBytes(snapshot.Path);
        byte[] wanted = new byte[(3 * Slot) + Page];
        contents.AsSpan((int)Slot, (int)Slot).CopyTo(wanted.AsSpan((int)Slot));
        Assert.Equal(wanted, image);
        Assert.Equal((long)Slot, snapshot.Progress.WrittenBytes);
        Assert.Equal((long)Slot, snapshot.Progress.TotalBytes);
    }

    [Theory]
    [InlineData(3, 3)]
    [InlineData(4, 4)]
    [InlineData(2, 0)]
    public void Diff_is_as_long_as_its_base_which_may_not_end_before_the_memory_does(int baseSlots, int wantedSlots)
    {
        FileSource file = RandomFile(4 * (long)Slot, 5, out _);
        ServedClient it = ServeStock();
        MapDownwards(it, file, 3);
        RunningSnapshot snapshot = Begin(it, RandomFile(baseSlots * (long)Slot, 6, out _));
        SnapshotReport report = snapshot.Report();
        Assert.Equal(wantedSlots == 0 ? Errno.EINVAL : null, report.Error?.Errno);
        Assert.Equal(wantedSlots * (long)Slot, new FileInfo(snapshot.Path).Length);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(32)]
    public void Regions_that_show_the_same_bytes_lie_by_address(int offsetPages)
    {
        FileSource file = RandomFile(2 * (long)Slot, 5, out byte[] contents);
        ServedClient it = ServeStock();
        ulong[] at = [it.MapRegistered(Slot, file), it.MapRegistered(Slot, file, offset: offsetPages * (long)Page)];
        it.Client.WriteByte(at[0], 77);
        AssertByAddress(it, [(at[0], [77, .. contents[1..(int)Slot]]), (at[1], contents[(offsetPages * (int)Page)..((offsetPages * (int)Page) + (int)Slot)])]);
    }

    [Fact]
    public void Regions_of_two_sources_or_of_none_lie_by_address()
    {
        FileSource first = RandomFile((long)Slot, 5, out byte[] contents);
        FileSource second = RandomFile(2 * (long)Slot, 6, out byte[] others);
        ServedClient it = Serve(policy: Zero);
        ulong[] at = [it.MapRegistered(Slot, first), it.MapRegistered(Slot, second, offset: (long)Slot), it.MapRegistered(Slot)];
        AssertByAddress(it, [(at[0], contents), (at[1], others[(int)Slot..]), (at[2], new byte[Slot])]);

        ServedClient zeros = Serve(policy: Zero);
        ulong[] empty = [zeros.MapRegistered(Slot), zeros.MapRegistered(Slot)];
        zeros.Client.WriteByte(empty[0], 1);
        AssertByAddress(zeros, [(empty[0], [1, .. new byte[Slot - 1]]), (empty[1], new byte[Slot])]);
    }

    [Fact]
    public void Mapped_object_of_a_part_of_the_source_lies_at_its_offset_there()
    {
        FileSource file = RandomFile(3 * (long)Slot, 5, out byte[] wanted);
        using SharedImage image = SharedImage.Create(file, (long)Slot, 2 * (long)Slot, writable: false, "test");
        using SafeFd handed = image.HandOut(writable: false);
        ServedClient it = Serve(policy: Named);
        int number = it.Client.Give(handed);
        ulong second = it.Client.Run($"mapfd {number} {Slot} {Slot} 0 3");
        Assert.Null(it.TryRegister(second, Slot, modes: UffdRegisterModes.Missing | UffdRegisterModes.Minor, image: image, offset: (long)Slot).Error);
        it.MapRegistered(2 * Slot, file);
        it.Client.Run($"fill {second + Page} {Page} 3");
        Array.Fill(wanted, (byte)3, (2 * (int)Slot) + (int)Page, (int)Page);
        Assert.Equal(wanted, File.ReadAllBytes(TakeLaidOut(it, SnapshotLayout.Source)));
    }

    [Fact]
    public void Range_that_was_cut_keeps_its_offsets()
    {
        FileSource file = RandomFile((long)Slot, 5, out byte[] wanted);
        ServedClient it = Serve(policy: Named);
        ulong at = it.MapRegistered(Slot, file);
        it.Client.WriteByte(at + Slot - Page, 7);
        wanted[(int)(Slot - Page)] = 7;
        it.Client.Run($"munmap {at + (8 * Page)} {8 * Page}");
        Array.Clear(wanted, 8 * (int)Page, 8 * (int)Page);
        Assert.Equal(wanted, File.ReadAllBytes(TakeLaidOut(it, SnapshotLayout.Source)));
    }

    // As the memory slots of a virtual machine, which the kernel maps one below the other: what is first in the file has the highest address.
    private static ulong[] MapDownwards(ServedClient it, PageSource file, int slots, ulong bytes = Slot)
    {
        (ulong start, _) = it.Client.Map("anon", (ulong)slots * bytes);
        ulong[] at = [.. Enumerable.Range(0, slots).Select(slot => start + ((ulong)(slots - 1 - slot) * bytes))];
        for (int slot = 0; slot < slots; slot++)
            it.Register(at[slot], bytes, file, offset: slot * (long)bytes);
        return at;
    }

    private static void Change(ServedClient it, ulong[] at, byte[] wanted)
    {
        for (int slot = 0; slot < at.Length; slot++)
        {
            ulong first = (ulong)slot * 3 * Page;
            it.Client.Run($"touch {at[slot]} {Slot / 2}");
            it.Client.Run($"fill {at[slot] + first} {Page} {slot + 1}");
            it.Client.Run($"madvise {at[slot] + first + (2 * Page)} {Page} 4");
            Array.Fill(wanted, (byte)(slot + 1), (slot * (int)Slot) + (int)first, (int)Page);
            Array.Clear(wanted, (slot * (int)Slot) + (int)(first + (2 * Page)), (int)Page);
        }
    }

    private string TakeLaidOut(ServedClient it, SnapshotLayout wanted)
    {
        RunningSnapshot snapshot = Begin(it);
        SnapshotReport report = snapshot.Report();
        Assert.Null(report.Error);
        Assert.Equal(wanted, report.Layout);
        return snapshot.Path;
    }

    private void AssertByAddress(ServedClient it, (ulong Start, byte[] Contents)[] regions) =>
        Assert.Equal(regions.OrderBy(region => region.Start).SelectMany(region => region.Contents), File.ReadAllBytes(TakeLaidOut(it, SnapshotLayout.Address)));
}
