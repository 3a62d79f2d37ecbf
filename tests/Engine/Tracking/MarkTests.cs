using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Tracking;

/// <summary>Missing pages that are write-protected: the kernel takes their marks for pages, but for those who fill them with contents.</summary>
public sealed class MarkTests : EngineTest
{
    private const ulong Pages = 8;

    [Fact]
    public void Child_reads_zeros_where_its_tracked_parent_has_marks()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = RegisterMarked(it);
        it.Client.Run("fork");
        ClientProcess child = Track(it.Client.AcceptChild());
        for (ulong page = 0; page < Pages; page++)
            Assert.Equal(0, child.ReadByte(at + (page * Page)));
        child.Run($"fill {at} {Pages * Page} 2");
        Assert.True(child.IsFilledWith(at, Pages * Page, 2));
        it.AssertZero(at, Pages * Page);
    }

    [Fact]
    public void Page_that_cannot_be_had_is_poisoned_where_it_has_a_mark()
    {
        ScriptedSource source = Scripted(Pages * Page);
        source.FailAlways();
        ServedClient it = Serve(policy: Named with { OnUnavailable = Verdict.Poison, Deadline = TimeSpan.FromMilliseconds(100) });
        ulong at = RegisterMarked(it, source);
        Assert.Equal(ClientReply.Sigbus, it.Client.Try($"read {at}").Signal);
        Assert.Equal(ClientReply.Sigbus, it.Client.Try($"write {at + Page} 1").Signal);
    }

    [Fact]
    public void Tracking_begins_while_the_client_unmaps()
    {
        const ulong Length = 16 << 20;
        ServedClient it = Serve(policy: Zero);
        for (int round = 0; round < 20; round++)
        {
            ulong at = it.MapRegistered(Length);
            it.Client.Run($"fill {at} {Length} 1");

            // The registration waits for the unmapping, which tells of itself afterwards.
            PendingReply unmapping = it.Client.Begin($"munmap {at} {Length}", 1);
            Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
            unmapping.Await();
            Assert.Null(FaultEngine.StopTrackingAsync(it.Session).Finish().Error);
        }
    }

    // What is missing is marked for the client, who protects all of its range; that it lifts this leaves the marks where its memory is tracked.
    private ulong RegisterMarked(ServedClient it, ScriptedSource? source = null)
    {
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        ulong at = it.MapRegistered(Pages * Page, source);
        Assert.Null(Engine.WriteProtectAsync(it.Session, at, Pages * Page, protect: true).Finish().Error);
        Assert.Null(Engine.WriteProtectAsync(it.Session, at, Pages * Page, protect: false).Finish().Error);
        DirtyPages dirty = FaultEngine.DirtyPagesAsync(it.Session, 0, 100, reset: true).Finish();
        Assert.Null(dirty.Error);
        Assert.Equal([new DirtyRun(at, Pages * Page, Page)], dirty.Runs);
        Assert.Equal(RegionFlags.Tracked, it.Regions()[0].Flags & RegionFlags.Tracked);
        return at;
    }
}
