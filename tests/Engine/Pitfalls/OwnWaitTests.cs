using UffdManager.Engine.Loops;
using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tests.Snapshots;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Pitfalls;

/// <summary>
/// Who reads a client's memory waits for the fault that he meets there to be served. That is the manager itself, when it takes a snapshot: so whoever may come to wait is a thread of its own, and never the
/// fault loop, of which there is only one here.
/// </summary>
public sealed class OwnWaitTests : HaltedSnapshotTest
{
    public OwnWaitTests() => Options = Options with { FaultLoops = 1, FetchThreads = 1, FetchConcurrencyPerTenant = 1 };

    /// <remarks>
    /// <code>
    /// snapshot                             loop                          client
    /// asks the source of missing pages,
    /// which does not answer
    ///                                      serves other pages .........  reads them
    ///                                      begins a fetch .............  reads a missing page
    /// the source answers
    /// </code>
    /// </remarks>
    [SkippableTheory]
    [InlineData("anon", Page)]
    [InlineData("memfd-shared", Page)]
    [InlineData("hugetlb", HugePages.PageSize)]
    public void Snapshot_of_missing_pages_waits_for_their_source_and_the_loop_for_nobody(string kind, ulong pageBytes)
    {
        using HugePages? pool = kind == "hugetlb" ? HugePages.AtLeast(4) : null;
        ScriptedSource source = Scripted(4 * pageBytes);
        ServedClient it = ServeStock();
        (ulong at, _) = it.Client.Map(kind, 4 * pageBytes);
        it.Register(at, 4 * pageBytes, source);
        ulong zeros = it.MapRegistered(64 * Page);
        source.Hold();
        RunningSnapshot snapshot = Begin(it);
        source.WaitForFetches(1);
        it.AssertZero(zeros, 32 * Page);
        it.Client.Run($"fill {zeros + (32 * Page)} {16 * Page} 3");
        PendingReply read = it.Client.Begin($"read {at + pageBytes}", 1);
        source.WaitForFetches(2);
        Engine.PingAsync().Finish();
        Assert.False(read.IsCompleted);
        Assert.False(snapshot.Task.IsCompleted);
        source.Release();
        Assert.Equal((ulong)source.ByteOf((long)pageBytes), read.AwaitValue());
        byte[] image = snapshot.Finish();
        int first = at < zeros ? 0 : 64 * (int)Page;
        for (ulong offset = 0; offset < 4 * pageBytes; offset += Page)
            Assert.Equal(source.ByteOf((long)offset), image[first + (int)offset]);

        // None of it was brought into the client, but for what the client has read.
        Assert.Equal((long)(pageBytes + (48 * Page)), it.Status().ResidentBytes);
        it.Client.Kill();
    }

    [SkippableTheory]
    [InlineData("anon", Page)]
    [InlineData("memfd-shared", Page)]
    [InlineData("hugetlb", HugePages.PageSize)]
    public void Reader_that_meets_a_missing_page_is_served_by_the_only_loop(string kind, ulong pageBytes)
    {
        // Pages that are known to be there are gone, and the userfaultfd has told nobody.
        using HugePages? pool = kind == "hugetlb" ? HugePages.AtLeast(4) : null;
        ServedClient it = ServeStock(UffdFeatures.None);
        (ulong at, _) = it.Client.Map(kind, 4 * pageBytes);
        it.Register(at, 4 * pageBytes);
        it.Client.Run($"fill {at} {4 * pageBytes} 1");
        it.Client.Run($"madvise {at} {4 * pageBytes} {(kind == "memfd-shared" ? 9 : 4)}");
        AssertFailed(Begin(it).Report(), Errno.ECANCELED, "does not tell");
        it.AssertZero(at, 4 * pageBytes);
        it.Client.Kill();
    }

    [Fact]
    public void Loop_that_is_to_save_a_page_which_is_gone_leaves_it_to_the_reader()
    {
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(ServeStock(UffdFeatures.None));
        Snapshot state = it.Session.Snapshot!;
        ulong page = at + (Unsaved * Page);
        using SafeFile memory = FileIo.Open($"/proc/{it.Client.Pid}/mem", OpenFlags.ReadOnly);
        it.Client.Run($"madvise {page} {2 * Page} 4");
        bool? isSaved = null;
        Errno read = Errno.OK;
        using (new HeldLoop(it.Session, () =>
        {
            isSaved = state.Saver.TrySave(state, state.Regions.Find(page)!, page);

            // Had it gone between the look and the read: the kernel does not wait for a page of this file.
            read = FileIo.Read(memory, new byte[Page], (long)page, out _);
        }))
        {
        }

        Assert.False(isSaved);
        Assert.Equal(Errno.EIO, read);
        Assert.True(state.Claims.TryClaim(state.Regions.Find(page)!, page));
        it.AssertZero(page, 2 * Page);
        AssertEnded(snapshot, Errno.ECANCELED, "does not tell");
    }
}
