using UffdManager.Engine.Sessions;
using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>Snapshots that come to nothing: the client goes on unharmed, and the reason is told.</summary>
public sealed class SnapshotEndTests : HaltedSnapshotTest
{
    [Theory]
    [InlineData("madvise {0} {1} 4", "gave back")]
    [InlineData("munmap {0} {1}", "unmapped")]
    [InlineData("mremap {0} {1} 16777216", "moved")]
    public void Change_of_memory_that_is_not_saved_ends_it(string command, string how)
    {
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(Serve(policy: Zero));
        PendingReply writer = it.Client.Begin($"write {at + ((Unsaved + 100) * Page)} 9", 1);
        it.Client.Run(string.Format(command, at + (Unsaved * Page), 8 * Page), 2);
        AssertEnded(snapshot, Errno.ECANCELED, how);
        writer.AwaitValue();
        it.Client.Run($"fill {at} {512 * Page} 3");
        Assert.True(it.Client.IsFilledWith(at, 512 * Page, 3));
        Assert.Equal(9, it.Client.ReadByte(at + ((Unsaved + 100) * Page)));
    }

    [Fact]
    public void Change_of_memory_that_is_saved_or_was_never_there_does_not_matter()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(Pages * Page);
        it.Client.Run($"fill {at} {Unsaved * Page} 1");
        ScriptedSource baseImage = Blocked();
        RunningSnapshot snapshot = Begin(it, baseImage, bufferBytes: 1);
        Eventually.True(() => snapshot.Progress.DoneBytes >= 256 * (long)Page, "the first pages to be read");

        // The loop was told before; until it has come to that, the pages count as not read, and giving them back would end the snapshot.
        Engine.PingAsync().Finish();
        it.Client.Run($"madvise {at} {64 * Page} 4");
        it.Client.Run($"madvise {at + ((Unsaved + 256) * Page)} {64 * Page} 4");

        // A page that was saved out of its turn may go as well.
        it.Client.WriteByte(at + (700 * Page), 2);
        it.Client.Run($"madvise {at + (700 * Page)} {Page} 4");
        it.AssertZero(at, 64 * Page);
        baseImage.ReleaseForGood();
        byte[] image = snapshot.Finish();
        Assert.All(image[..(int)Page], value => Assert.Equal(1, value));
        Assert.All(image[(700 * (int)Page)..(701 * (int)Page)], value => Assert.Equal(1, value));
        Assert.Equal(0, it.Client.ReadByte(at + (700 * Page)));
    }

    [Fact]
    public void Memory_given_back_without_an_event_ends_it()
    {
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(ServeStock(UffdFeatures.None));
        it.Client.Run($"madvise {at + (Unsaved * Page)} {8 * Page} 4");
        it.Client.ReadByte(at + (Unsaved * Page));
        AssertEnded(snapshot, Errno.ECANCELED, "does not tell");
    }

    [Fact]
    public void Cancelled_snapshot_lets_writers_go_at_once_though_the_disk_hangs()
    {
        using CancellationTokenSource cancel = new();
        ServedClient it = ServeStock();
        (it, ulong at, RunningSnapshot snapshot) = Halted(it, cancel: cancel.Token);

        // More writers than there is memory for: eight pieces of 256 KiB, half of them taken.
        PendingReply writer = it.Client.Begin($"fill {at + (Unsaved * Page)} {Unsaved * Page} 2", 1);
        Eventually.True(() => CountersOf(Alice).Faults(FaultKind.WriteProtect, FaultOutcome.Held) > 0, "a writer to wait");
        cancel.Cancel();
        writer.AwaitValue();
        Assert.False(snapshot.Task.IsCompleted);
        ReleaseBases();
        AssertEnded(snapshot, Errno.ECANCELED, "cancelled");
        Assert.True(it.Client.IsFilledWith(at + (Unsaved * Page), Unsaved * Page, 2));

        // Nothing is left of it, and the next one works.
        long held = CountersOf(Alice).Faults(FaultKind.WriteProtect, FaultOutcome.Held);
        it.Client.Run($"fill {at} {Pages * Page} 4");
        Assert.Equal(held, CountersOf(Alice).Faults(FaultKind.WriteProtect, FaultOutcome.Held));
        Assert.All(Take(it), value => Assert.Equal(4, value));
    }

    [Fact]
    public void Client_that_dies_ends_it()
    {
        (ServedClient it, _, RunningSnapshot snapshot) = Halted(ServeStock());
        it.Client.Kill();
        Eventually.True(() => it.Session.State == SessionState.Ended, "the session to end");
        AssertEnded(snapshot, Errno.ESRCH, "client is gone");
    }

    [SkippableFact]
    public void Full_disk_ends_it_and_leaves_the_client_as_it_was()
    {
        Require.Mounting();
        string folder = Temp.Combine("small");
        Directory.CreateDirectory(folder);
        Run("mount", "-t", "tmpfs", "-o", "size=1m", "none", folder);
        try
        {
            ServedClient it = ServeStock();
            ulong at = it.MapRegistered(Pages * Page);
            it.Client.Run($"fill {at} {Pages * Page} 1");
            RunningSnapshot snapshot = Begin(it, folder: folder);
            PendingReply writer = it.Client.Begin($"fill {at} {Pages * Page} 2", 1);
            AssertEnded(snapshot, Errno.ENOSPC, "cannot be written");
            writer.AwaitValue();
            Assert.True(it.Client.IsFilledWith(at, Pages * Page, 2));
        }
        finally
        {
            Run("umount", "-l", folder);
        }
    }

    [Fact]
    public void Source_that_fails_ends_it()
    {
        ScriptedSource source = Scripted(64 * Page);
        source.InMemory = false;
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(64 * Page, source);
        it.Client.ReadByte(at);
        source.FailAlways();
        AssertEnded(Begin(it), Errno.EIO, "cannot be read");
        source.ReleaseForGood();
        it.AssertHolds(at, 64 * Page, source);
    }

    [Fact]
    public void Two_at_a_time_are_refused_and_so_is_tracking_meanwhile()
    {
        (ServedClient it, _, RunningSnapshot snapshot) = Halted(ServeStock());
        AssertFailed(Begin(it).Report(), Errno.EBUSY, "a snapshot is being taken");
        Assert.Equal(Errno.EBUSY, Engine.StartTrackingAsync(it.Session).Finish().Error!.Errno);
        ReleaseBases();
        snapshot.Finish();
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
    }

    [SkippableFact]
    public void Kernel_that_lets_writers_go_by_itself_is_refused()
    {
        ServedClient it = ServeStock(UffdFeatures.WpAsync | UffdFeatures.PagefaultFlagWp | UffdFeatures.WpUnpopulated);
        it.MapRegistered(4 * Page);
        AssertEnded(Begin(it), Errno.EOPNOTSUPP, "WP_ASYNC");
    }

    [Fact]
    public void Session_without_a_region_has_nothing_to_save() => AssertEnded(Begin(ServeStock()), Errno.ENOENT, "no region");

    [Fact]
    public void Writers_that_waited_for_a_dead_manager_are_let_go_by_the_next()
    {
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(ServeStock());
        PendingReply writer = it.Client.Begin($"fill {at} {Pages * Page} 2", 1);
        Eventually.True(() => CountersOf(Alice).Faults(FaultKind.WriteProtect, FaultOutcome.Held) > 0, "a writer to wait");
        EndManager();
        it = Again(it, StartNext());
        writer.AwaitValue();
        Assert.True(it.Client.IsFilledWith(at, Pages * Page, 2));
        Eventually.True(() => !it.Session.IsFrozen, "the protection to be lifted");
        ReleaseBases();
        Assert.NotNull(Record.Exception(() => snapshot.Task.Wait(TimeSpan.FromSeconds(20))));
        snapshot.Output.Dispose();
        Assert.All(Take(it), value => Assert.Equal(2, value));
    }

    private static void Run(string program, params string[] arguments)
    {
        using System.Diagnostics.Process process = System.Diagnostics.Process.Start(program, arguments);
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
    }
}
