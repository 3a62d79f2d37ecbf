using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>Memory that goes away while the reader of a snapshot is about to read it.</summary>
public sealed class UnmapUnderReaderTests : HaltedSnapshotTest
{
    /// <remarks>
    /// <code>
    /// client                         reader                       loop (stands still)
    /// munmap: the pages are gone
    ///                                read: EFAULT
    /// sleeps: nobody reads its event
    ///                                                             reads the event
    /// </code>
    /// The reader knows no reason, and has to wait for who does.
    /// </remarks>
    [Fact]
    public void Read_of_memory_whose_unmap_is_still_to_be_told_says_that_it_was_unmapped()
    {
        (ServedClient it, ulong at, RunningSnapshot running) = Halted(Serve(policy: Zero));
        ulong from = at + (Unsaved * Page);
        PendingReply unmap;
        using SafeFile memory = FileIo.Open($"/proc/{it.Client.Pid}/mem", OpenFlags.ReadOnly);
        nuint buffer = NativePages.Map(Page);
        bool? isRead = null;
        Thread reader;
        using (new HeldLoop(it.Session))
        {
            unmap = it.Client.Begin($"munmap {from} {Unsaved * Page}", 1);
            Eventually.True(() => !ProcessInfo.ReadMaps(it.Client.Pid).Any(mapping => mapping.Start < from + Page && from < mapping.End), "the pages to go");
            ClientMemory gone = new(it.Session.Snapshot!, memory);
            FrozenRegion region = it.Session.Snapshot!.Regions.Find(from)!;
            reader = new Thread(() => isRead = gone.TryRead(region, from, (int)Page, buffer));
            reader.Start();
            Eventually.True(() => !reader.IsAlive || (reader.ThreadState & ThreadState.WaitSleepJoin) != 0, "the reader to have found nothing");
        }

        AssertEnded(running, Errno.ECANCELED, $"the client unmapped 0x{from:x}");
        unmap.AwaitValue();
        reader.Join();
        NativePages.Unmap(buffer, Page);
        Assert.False(isRead);
    }

    [Fact]
    public void Read_that_fails_although_nothing_was_told_says_what_the_kernel_says()
    {
        // A read by the number of the process respects PROT_NONE, unlike one of its memory file.
        (ServedClient it, ulong at, RunningSnapshot running) = Halted(Serve(policy: Zero));
        ulong from = at + (Unsaved * Page);
        it.Client.Run($"mprotect {from} {Page} 0");
        nuint buffer = NativePages.Map(Page);
        Assert.False(new ClientMemory(it.Session.Snapshot!, memory: null).TryRead(it.Session.Snapshot!.Regions.Find(from)!, from, (int)Page, buffer));
        NativePages.Unmap(buffer, Page);
        AssertEnded(running, Errno.EFAULT, "cannot be read");
    }
}
