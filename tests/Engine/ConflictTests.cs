using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests;

/// <summary>Two claims of one range: EBUSY with the holder, and the second claimant stays healthy.</summary>
public sealed class ConflictTests : EngineTest
{
    [Fact]
    public void Range_held_by_another_session_of_the_process_is_refused_with_its_holder()
    {
        ScriptedSource source = Scripted(8 * Page);
        ServedClient first = Serve(Alice);
        ServedClient second = Serve(first.Client, Bob, Zero);
        ulong at = first.MapRegistered(8 * Page, source);
        EngineResult refused = second.TryRegister(at + (4 * Page), 4 * Page);
        AssertHeldBy(refused, new RangeHolder(first.Session.Id, first.Client.Pid, "alice", at, 8 * Page));
        Assert.Contains($"session {first.Session.Id}", refused.Error!.Text, StringComparison.Ordinal);
        RangeConflict told = WaitForEvent<RangeConflict>();
        Assert.Equal((second.Session, at + (4 * Page), 4 * Page), (told.Session, told.Start, told.Length));
        Assert.Equal(1, CountersOf(Bob).ManagerConflicts);

        second.AssertZero(second.MapRegistered(8 * Page), 8 * Page);
        first.AssertHolds(at, 8 * Page, source);
        Assert.Equal(1, Bob.Usage.Regions);
    }

    [Fact]
    public void Range_is_free_again_when_its_holder_lets_go()
    {
        ScriptedSource source = Scripted(8 * Page);
        ServedClient first = Serve(policy: Zero);
        ServedClient second = Serve(first.Client);
        ulong at = first.MapRegistered(8 * Page);
        Assert.NotNull(second.TryRegister(at, 8 * Page, source).Error);
        Assert.Null(Engine.UnregisterAsync(first.Session, at, 4 * Page).Finish().Error);
        second.Register(at, 4 * Page, source);
        Assert.NotNull(second.TryRegister(at + (4 * Page), Page, source).Error);
        Assert.Null(Engine.EndAsync(first.Session, EndMode.Bye).Finish().Error);
        second.Register(at + (4 * Page), 4 * Page, source, offset: 4 * (long)Page);
        second.AssertHolds(at, 8 * Page, source);
    }

    [Fact]
    public void Range_held_outside_the_manager_is_refused_with_that_said()
    {
        ServedClient it = Serve(policy: Zero);
        (ulong at, _) = it.Client.Map("anon", 8 * Page);
        ulong outside = it.Client.Run("uffd");
        it.Client.Run($"api {outside} 0");
        it.Client.Run($"register {outside} {at} {4 * Page} 1");
        EngineResult refused = it.TryRegister(at, 8 * Page);
        AssertHeldBy(refused, new RangeHolder(0, 0, string.Empty, at, 8 * Page));
        Assert.Contains("outside", refused.Error!.Text, StringComparison.Ordinal);
        Assert.Equal(0, WaitForEvent<RangeConflict>().Holder.SessionId);
        Assert.Equal(1, CountersOf(Alice).KernelConflicts);
        Assert.Equal(0, Alice.Usage.Regions);
        it.Register(at + (4 * Page), 4 * Page);
        it.AssertZero(at + (4 * Page), 4 * Page);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Range_that_a_forked_child_inherited_is_held_by_its_inherited_session(bool identified)
    {
        ScriptedSource source = Scripted(8 * Page);
        ServedClient parent = Serve(Alice);
        ulong at = parent.MapRegistered(8 * Page, source);
        parent.Client.Run("fork");
        ClientProcess child = Track(parent.Client.AcceptChild());
        Session inherited = WaitForEvent<ForkAdopted>().Session;
        if (identified)
        {
            child.Run($"read {at}");
            WaitForEvent<ForkIdentified>();
        }

        ServedClient second = Serve(child, Bob, Zero);
        EngineResult refused = second.TryRegister(at, 8 * Page);
        AssertHeldBy(refused, new RangeHolder(inherited.Id, identified ? child.Pid : 0, "alice", at, 8 * Page));
        WaitForEvent<RangeConflict>(e => e.Holder.SessionId == inherited.Id);
        second.AssertZero(second.MapRegistered(8 * Page), 8 * Page);
        Assert.Equal((ulong)source.ByteOf(0), child.Run($"read {at}"));
    }

    [Fact]
    public void Userfaultfd_that_is_served_already_is_refused()
    {
        ServedClient it = Serve(policy: Zero);
        SafeUffd again = it.Client.Take<SafeUffd>(it.UffdNumber);
        AttachResult refused = Attach(it.Client, again, apiDone: true);
        Assert.Equal((EngineErrorKind.Conflict, Errno.EBUSY), (refused.Error!.Kind, refused.Error.Errno));
        Assert.Equal(it.Session.Id, refused.Error.Holder!.SessionId);
        Assert.True(again.IsClosed);
        it.AssertZero(it.MapRegistered(MiB), MiB);
        Assert.Equal(1, Alice.Usage.Sessions);
    }

    private static void AssertHeldBy(EngineResult refused, RangeHolder holder)
    {
        Assert.Equal((EngineErrorKind.Conflict, Errno.EBUSY), (refused.Error?.Kind, refused.Error?.Errno));
        Assert.Equal(holder, refused.Error!.Holder);
    }
}
