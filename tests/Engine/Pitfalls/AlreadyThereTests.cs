using UffdManager.Engine.Regions;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Pitfalls;

/// <summary>EEXIST, and what the kernel makes of it in the midst of many pages: a page is there that the manager has not put there, and nobody has woken who waits for it.</summary>
public sealed class AlreadyThereTests : EngineTest
{
    private const byte Theirs = 77;
    private const ulong Pages = 16;

    public AlreadyThereTests() => Options = Options with { FaultLoops = 1 };

    /// <remarks>
    /// <code>
    /// loop (stands still)       client                          somebody else
    ///                           reads: its fault is queued
    ///                                                           fills the page, and wakes nobody
    /// fills the page: EEXIST
    /// </code>
    /// </remarks>
    [SkippableTheory]
    [InlineData("anon", Page, false)]
    [InlineData("anon", Page, true)]
    [InlineData("memfd-shared", Page, false)]
    [InlineData("hugetlb", HugePages.PageSize, false)]
    [InlineData("hugetlb", HugePages.PageSize, true)]
    public void Page_that_somebody_else_has_filled_without_waking_anybody_wakes_who_waits(string kind, ulong pageBytes, bool isKnown)
    {
        using HugePages? pool = kind == "hugetlb" ? HugePages.AtLeast(2) : null;
        ScriptedSource source = Scripted(pageBytes);
        source.InMemory = true;
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map(kind, pageBytes);
        it.Register(at, pageBytes, source);
        using SafeUffd own = it.Client.Take<SafeUffd>(it.UffdNumber);
        PendingReply read;
        using (new HeldLoop(it.Session))
        {
            read = it.Client.Begin($"read {at}", 1);
            Eventually.True(() => UffdFdInfoReader.Read(own).Pending == 1, "the fault");
            Fill(own, at, pageBytes);
            if (isKnown)
                Assert.True(it.Session.Pages.TrySetPage(at, pageBytes, PageState.Present));
            Assert.False(read.IsCompleted);
        }

        Assert.Equal((ulong)Theirs, read.AwaitValue());
        Assert.True(CountersOf(Alice).Faults(FaultKind.Missing, FaultOutcome.AlreadyPresent) > 0);
        UffdFdInfo info = UffdFdInfoReader.Read(own);
        Assert.Equal((0L, 0L), (info.Pending, info.Total));
        it.Client.Kill();
    }

    [Fact]
    public void Page_that_somebody_else_has_mapped_without_waking_anybody_wakes_who_waits()
    {
        ServedClient it = Serve(policy: Zero);
        (ulong at, int memfd) = it.Client.Map("memfd-shared", Page);
        it.Client.Run($"pwrite {memfd} 0 {Page} {Theirs}");
        it.Register(at, Page, modes: UffdRegisterModes.Missing | UffdRegisterModes.Minor);
        using SafeUffd own = it.Client.Take<SafeUffd>(it.UffdNumber);
        PendingReply read;
        using (new HeldLoop(it.Session))
        {
            read = it.Client.Begin($"read {at}", 1);
            Eventually.True(() => UffdFdInfoReader.Read(own).Pending == 1, "the fault");
            using FdLease lease = own.Lease();
            Assert.Equal(Errno.OK, Userfaultfd.Continue(lease, at, Page, UffdCopyModes.DontWake).Errno);
            Assert.False(read.IsCompleted);
        }

        Assert.Equal((ulong)Theirs, read.AwaitValue());
    }

    // One UFFDIO_COPY for all of it stops at the page that is there: EAGAIN with a part done, EEXIST when it is asked for the rest.
    [SkippableTheory]
    [InlineData("anon", Page, 3, false)]
    [InlineData("anon", Page, 3, true)]
    [InlineData("anon", Page, 0, true)]
    [InlineData("anon", Page, 15, true)]
    [InlineData("memfd-shared", Page, 3, false)]
    [InlineData("memfd-shared", Page, 3, true)]
    [InlineData("hugetlb", HugePages.PageSize, 1, true)]
    [InlineData("hugetlb", HugePages.PageSize, 0, true)]
    public void Range_with_a_page_that_nobody_knows_of_is_filled_around_it(string kind, ulong pageBytes, int there, bool isPrefetched)
    {
        ulong pages = kind == "hugetlb" ? 4 : Pages;
        using HugePages? pool = kind == "hugetlb" ? HugePages.AtLeast(2 * (int)pages) : null;
        ScriptedSource source = Scripted(pages * pageBytes);
        source.InMemory = true;
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = (int)(Pages * Page) });
        (ulong mapped, _) = it.Client.Map(kind, 2 * pages * pageBytes);

        // What is filled around a fault is aligned.
        ulong at = PageSize.AlignUp(mapped, pages * pageBytes);
        it.Register(at, pages * pageBytes, source);
        ulong known = at + ((ulong)there * pageBytes);
        using (SafeUffd own = it.Client.Take<SafeUffd>(it.UffdNumber))
            Fill(own, known, pageBytes);
        if (isPrefetched)
            Assert.Null(Engine.PrefetchAsync(it.Session, at, pages * pageBytes).Finish().Error);
        else
            Assert.Equal((ulong)source.ByteOf(8 * (long)Page), it.Client.Run($"read {at + (8 * Page)}"));
        long faults = it.Status().Faults;
        it.AssertHolds(at, (ulong)there * pageBytes, source);
        Assert.True(it.Client.IsFilledWith(known, pageBytes, Theirs));
        it.AssertHolds(known + pageBytes, at + (pages * pageBytes) - known - pageBytes, source, (long)(known + pageBytes - at));
        Assert.Equal(faults, it.Status().Faults);
        it.Client.Kill();
    }

    private static void Fill(SafeUffd uffd, ulong page, ulong pageBytes)
    {
        nuint bytes = NativePages.Map(pageBytes);
        NativePages.AsSpan(bytes, (int)pageBytes).Fill(Theirs);
        using FdLease lease = uffd.Lease();
        Errno errno = Userfaultfd.Copy(lease, page, bytes, pageBytes, UffdCopyModes.DontWake).Errno;
        NativePages.Unmap(bytes, pageBytes);
        Assert.Equal(Errno.OK, errno);
    }
}
