using UffdManager.Engine.State;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tests.State;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Pitfalls;

/// <summary>What the kernel tells first although it came later, and what it tells only once.</summary>
public sealed class OrderTests : RestoreTest
{
    /// <remarks>
    /// The kernel hands out faults before events, so in either case the fault is read first. In the first one the page has never been there, and the removal is of what the source has for it.
    /// </remarks>
    [SkippableTheory]
    [InlineData("anon", Page, false)]
    [InlineData("anon", Page, true)]
    [InlineData("memfd-shared", Page, false)]
    [InlineData("memfd-shared", Page, true)]
    [InlineData("hugetlb", HugePages.PageSize, false)]
    [InlineData("hugetlb", HugePages.PageSize, true)]
    public void Fault_that_is_read_before_a_removal_of_its_page_gets_zeros(string kind, ulong pageBytes, bool isFaultOlder)
    {
        using HugePages? pool = kind == "hugetlb" ? HugePages.AtLeast(2) : null;
        ScriptedSource source = Scripted(2 * pageBytes);
        source.InMemory = true;
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = 2 * 4096 });
        (ulong at, _) = it.Client.Map(kind, 2 * pageBytes);
        it.Register(at, 2 * pageBytes, source);
        PendingReply read;
        PendingReply removal;
        using (new HeldLoop(it.Session))
        {
            if (isFaultOlder)
            {
                read = BeginRead(it, at);
                removal = BeginRemoval(it, at, pageBytes, kind);
            }
            else
            {
                removal = BeginRemoval(it, at, pageBytes, kind);
                read = BeginRead(it, at);
            }
        }

        Assert.Equal(0UL, read.AwaitValue());
        removal.AwaitValue();
        it.AssertZero(at, pageBytes);
        it.AssertHolds(at + pageBytes, Page, source, (long)pageBytes);
        it.Client.Kill();
    }

    /// <remarks>
    /// The message was read by somebody who is not there any more when the next manager comes: as if the dead one had taken it along.
    /// </remarks>
    [SkippableTheory]
    [InlineData("anon", Page)]
    [InlineData("hugetlb", HugePages.PageSize)]
    public void Fault_that_the_dead_manager_had_read_is_served_by_the_next(string kind, ulong pageBytes)
    {
        using HugePages? pool = kind == "hugetlb" ? HugePages.AtLeast(2) : null;
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map(kind, pageBytes);
        it.Register(at, pageBytes, RandomFile((long)pageBytes, 1, out byte[] contents));
        PendingReply read;
        using (new HeldLoop(it.Session))
        {
            read = BeginRead(it, at);
            Assert.Equal((ulong)UffdEventKind.PageFault, it.Client.Run($"steal {it.UffdNumber}", 2));
        }

        Engine.PingAsync().Finish();
        UffdFdInfo info = UffdFdInfoReader.Read(it.Session.Uffd);
        Assert.Equal((0L, 1L), (info.Pending, info.Total));
        RestoreReport report = Restart();
        Assert.Empty(report.Failures);
        Assert.Equal((ulong)contents[0], read.AwaitValue());
        it.Client.Kill();
    }

    private static PendingReply BeginRead(ServedClient it, ulong at)
    {
        PendingReply read = it.Client.Begin($"read {at}", 1);
        Eventually.True(() => UffdFdInfoReader.Read(it.Session.Uffd).Pending == 1, "the fault");
        return read;
    }

    // A hole is what takes pages from shared memory.
    private static PendingReply BeginRemoval(ServedClient it, ulong at, ulong length, string kind)
    {
        PendingReply removal = it.Client.Begin($"madvise {at} {length} {(kind == "memfd-shared" ? 9 : 4)}", 3);
        using FdLease lease = it.Session.Uffd.Lease();
        Eventually.True(() => Userfaultfd.IsChanging(lease), "the removal");
        return removal;
    }
}
