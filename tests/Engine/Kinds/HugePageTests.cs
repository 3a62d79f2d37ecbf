using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Kinds;

/// <summary>hugetlb: pages of 2 MiB from a pool that can be empty, which the kernel tells in its own way.</summary>
public sealed class HugePageTests : EngineTest
{
    private const ulong Huge = HugePages.PageSize;

    [SkippableTheory]
    [InlineData("hugetlb", true)]
    [InlineData("hugetlb", false)]
    [InlineData("hugetlb-memfd-shared", false)]
    public void Huge_region_holds_its_source(string kind, bool inMemory)
    {
        using HugePages pool = HugePages.AtLeast(4);
        ScriptedSource source = Scripted(2 * Huge);
        source.InMemory = inMemory;
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map(kind, 2 * Huge);
        it.Register(at, 2 * Huge, source);
        Assert.Equal((ulong)source.ByteOf((long)(Huge + (5 * Page))), it.Client.Run($"read {at + Huge + (5 * Page)}"));
        it.AssertHolds(at, Huge / 4, source);
        Assert.Equal(2, it.Status().Faults);
        Assert.Equal((long)(2 * Huge), it.Status().ResidentBytes);
        Assert.Equal(Huge, it.Regions()[0].PageBytes);
    }

    [SkippableFact]
    public void Huge_region_of_zeros_is_prefetched()
    {
        using HugePages pool = HugePages.AtLeast(4);
        ServedClient it = Serve(policy: Zero);
        (ulong at, _) = it.Client.Map("hugetlb", 2 * Huge);
        it.Register(at, 2 * Huge);
        Assert.Equal(2 * Huge, Engine.PrefetchAsync(it.Session, at, 2 * Huge).Finish().Value);
        it.AssertZero(at + Huge - Page, 2 * Page);
        Assert.Equal(0, it.Status().Faults);
    }

    [SkippableFact]
    public void Range_not_aligned_to_huge_pages_is_refused_and_stays_the_kernels()
    {
        using HugePages pool = HugePages.AtLeast(4);
        ServedClient it = Serve();
        ScriptedSource source = Scripted(4 * Huge);
        (ulong at, _) = it.Client.Map("hugetlb", 2 * Huge);
        Assert.Equal(Errno.EINVAL, it.TryRegister(at, 2 * Huge, source, offset: (long)Page).Error!.Errno);
        Assert.Equal(Errno.EINVAL, it.TryRegister(at + Page, Huge, source).Error!.Errno);
        it.AssertZero(at, Page);
        Assert.Equal(0, Alice.Usage.Regions);
    }

    [SkippableFact]
    public void Huge_page_given_back_in_part_stays_and_given_back_whole_is_zeros()
    {
        using HugePages pool = HugePages.AtLeast(4);
        ScriptedSource source = Scripted(3 * Huge);
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map("hugetlb", 3 * Huge);
        it.Register(at, 3 * Huge, source);
        it.Client.Run($"touch {at} {3 * Huge} {Huge}");

        // Refused, or rounded to nothing: either way the page stays.
        _ = it.Client.Try($"madvise {at + (4 * Page)} {8 * Page} 4");
        _ = it.Client.Try($"madvise {at} {8 * Page} 4");
        it.AssertHolds(at, 16 * Page, source);
        it.Client.Run($"madvise {at + Huge} {Huge} 4");
        it.AssertZero(at + Huge, 16 * Page);
        it.AssertZero(at + (2 * Huge) - Page, Page);
        it.AssertHolds(at + (2 * Huge), 16 * Page, source, 2 * (long)Huge);
        it.AssertHolds(at, 16 * Page, source);
    }

    [SkippableFact]
    public void Edges_of_a_hole_in_shared_huge_pages_are_zeroed_by_the_kernel_alone()
    {
        using HugePages pool = HugePages.AtLeast(4);
        ScriptedSource source = Scripted(3 * Huge);
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map("hugetlb-memfd-shared", 3 * Huge);
        it.Register(at, 3 * Huge, source);
        it.Client.Run($"touch {at} {3 * Huge} {Huge}");

        // From the middle of the first to the middle of the third; the event tells it as it was asked for.
        ClientReply removed = it.Client.Try($"madvise {at + Huge - (8 * Page)} {Huge + (16 * Page)} 9");
        Require.That(removed.Succeeded, "this kernel refuses holes that are not aligned to huge pages");
        it.AssertHolds(at, 16 * Page, source);
        it.AssertZero(at + Huge - (8 * Page), 8 * Page);
        it.AssertZero(at + Huge, 16 * Page);
        it.AssertZero(at + (2 * Huge) - Page, Page);
        it.AssertZero(at + (2 * Huge), 8 * Page);
        it.AssertHolds(at + (2 * Huge) + (8 * Page), 8 * Page, source, (long)((2 * Huge) + (8 * Page)));
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public void Empty_pool_makes_the_fault_wait_until_a_page_is_free(bool inMemory)
    {
        using HugePages pool = HugePages.AtLeast(2);
        ScriptedSource source = Scripted(Huge);
        source.InMemory = inMemory;
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map("hugetlb-noreserve", Huge);
        it.Register(at, Huge, source);
        ClientProcess hog = TakeAll();
        PendingReply read = it.Client.Begin($"read {at + Page}", 1);
        Assert.Equal(at, WaitForEvent<HugePoolExhausted>().Address);
        Eventually.Never(() => read.IsCompleted, TimeSpan.FromMilliseconds(50), "the answer");

        // It is parked, not spun on.
        Assert.InRange(it.Status().Faults, 1, 3);
        Assert.InRange(source.Entered, 0, 3);
        hog.Kill();
        Assert.Equal((ulong)source.ByteOf((long)Page), read.AwaitValue());
        Assert.Null(Seen<ClientKilled>());
    }

    [SkippableFact]
    public void Page_given_back_that_waits_for_the_pool_is_zeros_and_not_the_source_in_the_end()
    {
        using HugePages pool = HugePages.AtLeast(2);
        ScriptedSource source = Scripted(Huge);
        source.InMemory = true;
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map("hugetlb-noreserve", Huge);
        it.Register(at, Huge, source);
        it.AssertHolds(at, 4 * Page, source);
        it.Client.Run($"madvise {at} {Huge} 4");
        ClientProcess hog = TakeAll();
        PendingReply read = it.Client.Begin($"read {at}", 1);
        WaitForEvent<HugePoolExhausted>();
        hog.Kill();
        Assert.Equal(0UL, read.AwaitValue());
        it.AssertZero(at, 16 * Page);
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public void Empty_pool_ends_in_the_verdict_at_the_deadline(bool inMemory)
    {
        using HugePages pool = HugePages.AtLeast(2);
        ScriptedSource source = Scripted(Huge);
        source.InMemory = inMemory;
        ServedClient it = Serve(policy: Named with { OnUnavailable = Verdict.Poison, Deadline = TimeSpan.FromMilliseconds(200) });
        (ulong at, _) = it.Client.Map("hugetlb-noreserve", Huge);
        it.Register(at, Huge, source);
        ClientProcess hog = TakeAll();
        Assert.Equal(ClientReply.Sigbus, it.Client.Try($"read {at}").Signal);
        WaitForEvent<PagePoisoned>();
        hog.Kill();
        Assert.Equal(ClientReply.Sigbus, it.Client.Try($"read {at}").Signal);
    }

    // Whether each of them is there has to be asked, of which no turn of the loop does all: others have faults.
    [SkippableFact]
    public void Prefetch_of_very_many_pages_from_an_empty_pool_is_answered_a_slice_at_a_time()
    {
        const ulong Length = 1500 * Huge;
        using HugePages pool = HugePages.AtLeast(2);
        ServedClient it = Serve(policy: Zero);
        (ulong at, _) = it.Client.Map("hugetlb-noreserve", Length);
        it.Client.Run($"fill {at + Length - Huge} {Huge} 7");
        it.Register(at, Length);
        ClientProcess hog = TakeAll();
        Task<EngineResult> prefetch;
        using (HeldLoop loop = HeldLoop.At(it.Session, () => it.Session.Jobs.Exists(job => job.SuspectCursor > at && job.SuspectCursor < at + Length)))
        {
            prefetch = Engine.PrefetchAsync(it.Session, at, Length);
            loop.Await();
            Assert.False(prefetch.IsCompleted);
        }

        Assert.Equal(Errno.ENOMEM, prefetch.Finish().Error!.Errno);

        // What is there is known to be, behind all that is not.
        Assert.Equal((long)Huge, it.Status().ResidentBytes);
        hog.Kill();
        Assert.Equal(0UL, it.Client.Run($"read {at}"));
        Assert.True(it.Client.IsFilledWith(at + Length - Huge, Huge, 7));
    }

    [SkippableFact]
    public void Forked_child_owns_its_huge_pages_in_the_books()
    {
        using HugePages pool = HugePages.AtLeast(4);
        ScriptedSource source = Scripted(2 * Huge);
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map("hugetlb-memfd-shared", 2 * Huge);
        it.Register(at, 2 * Huge, source);
        it.AssertHolds(at, Page, source);
        it.Client.Run("fork");
        ClientProcess child = Track(it.Client.AcceptChild());
        Sessions.Session session = WaitForEvent<ForkAdopted>().Session;
        Assert.Equal((long)Huge, Engine.StatusAsync(session).Finish().ResidentBytes);
        Assert.Equal((ulong)source.ByteOf(0), child.Run($"read {at}"));
        Assert.Equal((ulong)source.ByteOf((long)Huge), child.Run($"read {at + Huge}"));
    }

    // A reservation is enough: who has none finds the pool empty.
    private ClientProcess TakeAll()
    {
        ClientProcess hog = StartClient();
        hog.Map("hugetlb", (ulong)HugePages.Free * Huge);
        return hog;
    }
}
