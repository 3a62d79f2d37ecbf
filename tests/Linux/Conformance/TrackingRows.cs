using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests.Conformance;

/// <summary>PAGEMAP_SCAN, process_madvise and reading a foreign memory.</summary>
internal static class TrackingRows
{
    public static IReadOnlyList<Row> All { get; } =
    [
        new("pagemap-scan-wp-async", MemoryKinds.All, Places.Both, ScanAsync),
        new("pagemap-scan-refusals", MemoryKinds.Anonymous, Places.Both, ScanRefusals),
        new("pagemap-scan-present", MemoryKinds.All, Places.Both, ScanPresent),
        new("remote-madvise", MemoryKinds.Anonymous, Places.OtherProcess, RemoteAdvice),
        new("remote-collapse", MemoryKinds.Anonymous, Places.OtherProcess, RemoteCollapse),
        new("remote-read", MemoryKinds.All, Places.OtherProcess, RemoteRead),
    ];

    private static void ScanAsync(Arena a)
    {
        // Hugetlb needs its pages before they can be tracked.
        for (int i = 0; i < a.Pages; i++)
            a.WriteNow(i, 1);
        a.Begin(UffdRegisterModes.WriteProtect, UffdFeatures.WpAsync | UffdFeatures.WpUnpopulated);
        Assert.Equal(Errno.OK, Userfaultfd.WriteProtect(a.Lease, a.Start, a.Length, protect: true));
        using SafeFile pagemap = PagemapScan.OpenPagemap(a.Owner.Pid);
        Assert.Empty(Written(a, pagemap));
        a.WriteNow(1, 2);
        a.WriteNow(3, 2);
        a.AssertSilent();
        Assert.Equal([a.Page(1), a.Page(3)], Written(a, pagemap));

        // The scan protected again what it told.
        Assert.Empty(Written(a, pagemap));
        a.WriteNow(3, 3);
        Assert.Equal([a.Page(3)], Written(a, pagemap));
        _ = a.ReadNow(2);
        Assert.Empty(Written(a, pagemap));
    }

    private static ulong[] Written(Arena a, SafeFile pagemap)
    {
        PageRegion[] regions = new PageRegion[16];
        PagemapScanRequest request = new()
        {
            Start = a.Start,
            End = a.Start + a.Length,
            Flags = PagemapScanFlags.ProtectMatching | PagemapScanFlags.CheckAsync,
            Required = PageCategories.Written,
            Returned = PageCategories.Written,
        };
        Assert.Equal(Errno.OK, PagemapScan.Scan(pagemap, request, regions, out int count, out ulong walkEnd));
        Assert.Equal(a.Start + a.Length, walkEnd);
        List<ulong> pages = [];
        foreach (PageRegion region in regions[..count])
        {
            Assert.Equal(PageCategories.Written, region.Categories);
            for (ulong page = region.Start; page < region.End; page += a.PageSize)
                pages.Add(page);
        }

        return [.. pages];
    }

    private static void ScanRefusals(Arena a)
    {
        a.WriteNow(0, 1);
        a.Begin(UffdRegisterModes.WriteProtect);
        using SafeFile pagemap = PagemapScan.OpenPagemap(a.Owner.Pid);
        PagemapScanRequest request = new()
        {
            Start = a.Start,
            End = a.Start + a.Length,
            Flags = PagemapScanFlags.ProtectMatching | PagemapScanFlags.CheckAsync,
            Required = PageCategories.Written,
            Returned = PageCategories.Written,
        };
        PageRegion[] regions = new PageRegion[4];
        Assert.Equal(Errno.EPERM, PagemapScan.Scan(pagemap, request, regions, out _, out _));
        Assert.Equal(Errno.EINVAL, PagemapScan.Scan(pagemap, request with { Start = a.Start + 1 }, regions, out _, out _));
        using SafeMemfd other = Memfd.Create("no-pagemap", MemfdFlags.None);
        using SafeFile wrong = other.Duplicate<SafeFile>();
        Assert.Equal(Errno.ENOTTY, PagemapScan.Scan(wrong, request, regions, out _, out _));
    }

    private static void ScanPresent(Arena a)
    {
        // The question that EEXIST on hugetlb leaves open: is the page there?
        a.Begin(UffdRegisterModes.Missing);
        Assert.Equal(a.Done(), a.Copy(1, 1));
        Assert.Equal(a.Done(), a.Copy(2, 1));
        using SafeFile pagemap = PagemapScan.OpenPagemap(a.Owner.Pid);
        PagemapScanRequest request = new()
        {
            Start = a.Start,
            End = a.Start + a.Length,
            Required = PageCategories.Present,
            Returned = PageCategories.Present,
        };
        PageRegion[] regions = new PageRegion[4];
        Assert.Equal(Errno.OK, PagemapScan.Scan(pagemap, request, regions, out int count, out _));
        Assert.Equal(1, count);
        Assert.Equal((a.Page(1), a.Page(3)), (regions[0].Start, regions[0].End));
    }

    private static void RemoteAdvice(Arena a)
    {
        a.WriteNow(0, 1);
        using SafePidFd pidFd = PidFd.TryOpen(a.Owner.Pid, out _)!;
        Assert.Equal(Errno.OK, Advise(MemoryAdvice.Cold, out long done));
        Assert.Equal((long)a.PageSize, done);

        // What discards is not for others to ask.
        Assert.Equal(Errno.EINVAL, Advise(MemoryAdvice.DontNeed, out _));
        Assert.Equal(Errno.EINVAL, Advise(MemoryAdvice.Free, out _));
        Assert.Equal(Errno.EINVAL, Advise(MemoryAdvice.Remove, out _));
        Assert.Equal(1, a.ReadNow(0));
        Errno Advise(MemoryAdvice advice, out long bytes) => ProcessMemory.ProcessMadvise(pidFd, a.Start, a.PageSize, (int)advice, out bytes);
    }

    private static void RemoteCollapse(Arena a)
    {
        const ulong Huge = HugePages.PageSize;
        a.Begin(UffdRegisterModes.None);
        ulong start = (a.Client.Run($"map anon {2 * Huge}") + Huge - 1) & ~(Huge - 1);
        Assert.Equal(Errno.OK, Userfaultfd.Register(a.Uffd, start, Huge, UffdRegisterModes.Missing, out _));
        using SafePidFd pidFd = PidFd.TryOpen(a.Owner.Pid, out _)!;
        Assert.NotEqual(Errno.OK, ProcessMemory.ProcessMadvise(pidFd, start, Huge, (int)MemoryAdvice.Collapse, out _));
        for (ulong at = 0; at < Huge; at += a.Length)
            Assert.Equal(Errno.OK, Userfaultfd.Copy(a.Lease, start + at, a.Source(4, a.Pages), a.Length, UffdCopyModes.None).Errno);
        Assert.Equal(Errno.OK, ProcessMemory.ProcessMadvise(pidFd, start, Huge, (int)MemoryAdvice.Collapse, out _));
        Assert.True(a.Client.IsFilledWith(start, Huge, 4));
    }

    private static void RemoteRead(Arena a)
    {
        a.WriteNow(0, 77);
        byte[] buffer = new byte[2];
        Assert.Equal(Errno.OK, ProcessMemory.ReadRemote(a.Owner.Pid, a.Start, buffer, out int read));
        Assert.Equal((2, 77), (read, buffer[0]));
        Assert.Equal(Errno.EFAULT, ProcessMemory.ReadRemote(a.Owner.Pid, 0x1000, buffer, out read));
        Assert.Equal(0, read);
        a.Client.Kill();
        Eventually.True(() => ProcessMemory.ReadRemote(a.Owner.Pid, a.Start, buffer, out _) == Errno.ESRCH, "ESRCH");
    }
}
