using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Events;

/// <summary>fork: the child is a session of its own, born knowing what its parent knew.</summary>
public sealed class ForkTests : EngineTest
{
    private (ClientProcess Child, Session Session) Fork(ServedClient parent)
    {
        int known = Engine.Sessions().Count;
        parent.Client.Run("fork");
        ClientProcess child = Track(parent.Client.AcceptChild());
        Session? session = null;
        Eventually.True(() => (session = Engine.Sessions().MaxBy(s => s.Id)) is not null && Engine.Sessions().Count > known, "the child's session");
        Assert.Equal(parent.Session.Id, session!.ParentId);
        return (child, session);
    }

    private ServedClient ForkServed(ServedClient parent)
    {
        (ClientProcess child, Session session) = Fork(parent);
        return new ServedClient(Engine, child, session, parent.UffdNumber);
    }

    [Fact]
    public void Child_sees_what_its_parent_had_and_the_source_for_the_rest()
    {
        ScriptedSource source = Scripted(8 * Page);
        ServedClient parent = Serve();
        ulong at = parent.MapRegistered(8 * Page, source);
        parent.Client.Run($"fill {at} {Page} 77");
        parent.AssertHolds(at + Page, Page, source, (long)Page);
        parent.Client.Run($"madvise {at + (2 * Page)} {2 * Page} 4");
        ServedClient child = ForkServed(parent);
        Assert.True(child.Client.IsFilledWith(at, Page, 77));
        child.AssertHolds(at + Page, Page, source, (long)Page);
        child.AssertZero(at + (2 * Page), 2 * Page);
        child.AssertHolds(at + (4 * Page), 4 * Page, source, 4 * (long)Page);

        // From now on each is on its own.
        child.Client.Run($"fill {at} {Page} 88");
        child.Client.Run($"madvise {at + (5 * Page)} {Page} 4");
        child.AssertZero(at + (5 * Page), Page);
        Assert.True(parent.Client.IsFilledWith(at, Page, 77));
        parent.AssertHolds(at + (5 * Page), Page, source, 5 * (long)Page);
        Assert.Equal(child.Client.Pid, child.Session.Pid);
        Assert.Equal(2, Alice.Usage.Regions);
    }

    [Fact]
    public void Session_of_a_child_ends_with_the_child()
    {
        ServedClient parent = Serve(policy: Zero);
        ulong at = parent.MapRegistered(8 * Page);
        ServedClient child = ForkServed(parent);
        child.Client.Run($"touch {at} {8 * Page}");
        WaitForEvent<ForkIdentified>(e => e.Session == child.Session);
        _ = child.Client.Begin("exit 0");
        Assert.Equal(SessionEndReason.ClientExited, WaitForEvent<SessionEnded>(e => e.Session == child.Session).Reason);
        Assert.Equal((1L, 1L), (Alice.Usage.Sessions, Alice.Usage.Regions));
        parent.Client.Run($"touch {at} {8 * Page}");
    }

    [Fact]
    public void Session_of_a_child_that_never_said_who_it_is_ends_with_it_too()
    {
        ServedClient parent = Serve(policy: Zero);
        parent.MapRegistered(8 * Page);
        int pid = (int)parent.Client.Run("forkquiet");
        ForkAdopted adopted = WaitForEvent<ForkAdopted>();
        Assert.Equal((0, parent.Session), (adopted.Session.Pid, adopted.Parent));
        using SafePidFd child = PidFd.TryOpen(pid, out _)!;
        Assert.Equal(Errno.OK, PidFd.SendSignal(child, Signals.Kill));
        WaitForEvent<SessionEnded>(e => e.Session == adopted.Session);
        parent.Client.Run($"waitpid {pid}");
    }

    [Fact]
    public void Grandchildren_inherit_too()
    {
        ScriptedSource source = Scripted(8 * Page);
        ServedClient parent = Serve();
        ulong at = parent.MapRegistered(8 * Page, source);
        parent.Client.Run($"fill {at} {Page} 1");
        ServedClient child = ForkServed(parent);
        child.Client.Run($"fill {at + Page} {Page} 2");
        child.Client.Run($"madvise {at + (2 * Page)} {Page} 4");
        ServedClient grandchild = ForkServed(child);
        Assert.True(grandchild.Client.IsFilledWith(at, Page, 1));
        Assert.True(grandchild.Client.IsFilledWith(at + Page, Page, 2));
        grandchild.AssertZero(at + (2 * Page), Page);
        grandchild.AssertHolds(at + (3 * Page), 5 * Page, source, 3 * (long)Page);
        parent.AssertHolds(at + Page, 7 * Page, source, (long)Page);
        child.AssertHolds(at + (3 * Page), 5 * Page, source, 3 * (long)Page);
    }

    [Fact]
    public void Fork_while_pages_are_in_flight_serves_both_sides()
    {
        // parent thread 1       engine              parent thread 2     child
        // read page 0 ........> fetch 1 hangs
        //                                           fork
        //                                                               read page 0
        //                       fetch 2 hangs
        //                       both released
        // gets the source                                               gets the source
        ScriptedSource source = Scripted(8 * Page);
        source.Hold();
        ServedClient parent = Serve();
        ulong at = parent.MapRegistered(8 * Page, source);
        PendingReply before = parent.Client.Begin($"read {at}", 1);
        source.WaitForFetches(1);
        parent.Client.Run("fork", 2);
        ClientProcess child = Track(parent.Client.AcceptChild());
        PendingReply after = child.Begin($"read {at}", 1);
        source.WaitForFetches(2);
        source.Release();
        Assert.Equal((ulong)source.ByteOf(0), before.AwaitValue());
        Assert.Equal((ulong)source.ByteOf(0), after.AwaitValue());
    }

    [Fact]
    public void Mailbox_tells_each_descendant_its_own_token()
    {
        ServedClient parent = Serve(policy: Zero);
        ulong at = parent.MapRegistered(Page, flags: RegionFlags.Mailbox);
        ServedClient child = ForkServed(parent);
        ulong token = child.Client.Run($"add {at} 0 ") is 0 ? child.Client.Run($"add {at} 1") - 1 : 0;
        Assert.NotEqual(0UL, token);
        Assert.Same(child.Session, Engine.FindForkedChild(token));
        Assert.Null(Engine.FindForkedChild(0));
        Assert.Null(Engine.FindForkedChild(token ^ 1));
        ulong started = StartTimeOf(child.Client.Pid);
        Assert.Equal(Errno.ESRCH, Engine.BindForkedChildAsync(child.Session, parent.Client.Pid, started, parent.Client.Handle.Duplicate<SafePidFd>(), true).Finish().Error!.Errno);
        Assert.Null(Engine.BindForkedChildAsync(child.Session, child.Client.Pid, started, child.Client.Handle.Duplicate<SafePidFd>(), true).Finish().Error);
        Assert.True(child.Session.HasKeeper);
        Assert.Equal((child.Client.Pid, started), (child.Session.Pid, child.Session.ProcessStartTime));

        // Given back, it carries the next descendant's token.
        child.Client.Run($"madvise {at} {Page} 4");
        ServedClient grandchild = ForkServed(child);
        ulong next = grandchild.Client.Run($"add {at} 1") - 1;
        Assert.NotEqual(token, next);
        Assert.Same(grandchild.Session, Engine.FindForkedChild(next));
    }

    [Fact]
    public void Duplicate_of_a_childs_descriptor_is_the_childs()
    {
        ScriptedSource source = Scripted(Page);
        ServedClient parent = Serve();
        ulong at = parent.MapRegistered(Page, source);
        ServedClient child = ForkServed(parent);
        using (SafeUffd kept = FaultEngine.DuplicateUffd(child.Session))
        {
            Assert.True(Userfaultfd.IsUserfaultfd(kept));
            child.Client.Kill();
            using FdLease lease = kept.Lease();
            Assert.True(Userfaultfd.IsOwnerGone(lease));
        }

        parent.AssertHolds(at, Page, source);
    }

    [Fact]
    public void Child_beyond_the_limit_of_sessions_lives_on_where_zeros_will_do()
    {
        Alice = new Tenant("alice", 1, new TenantLimits { Sessions = 1 });
        ServedClient parent = Serve(policy: Zero);
        ulong at = parent.MapRegistered(8 * Page);
        parent.Client.Run($"fill {at} {Page} 5");
        parent.Client.Run("fork");
        ClientProcess child = Track(parent.Client.AcceptChild());
        Assert.True(WaitForEvent<ForkRefused>().Released);
        Assert.True(child.IsFilledWith(at, Page, 5));
        Assert.True(child.IsFilledWith(at + Page, 7 * Page, 0));
        Assert.Equal(1, Alice.Usage.Sessions);
        parent.Client.Run($"touch {at} {8 * Page}");
    }

    [Fact]
    public void Child_beyond_the_limit_of_sessions_is_killed_where_zeros_would_be_wrong()
    {
        Alice = new Tenant("alice", 1, new TenantLimits { Sessions = 1 });
        ScriptedSource source = Scripted(8 * Page);
        ServedClient parent = Serve();
        ulong at = parent.MapRegistered(8 * Page, source);
        parent.Client.Run("fork");
        ClientProcess child = Track(parent.Client.AcceptChild());
        Assert.False(WaitForEvent<ForkRefused>().Released);
        PendingReply read = child.Begin($"read {at}", 1);
        child.WaitForExit();
        Eventually.True(() => read.IsLost, "the end of the child's connection");
        WaitForEvent<SessionEnded>(e => e.Session.ParentId == parent.Session.Id);
        parent.AssertHolds(at, 8 * Page, source);
        Assert.Equal(1, Alice.Usage.Sessions);
    }

    [Fact]
    public void Parent_and_child_may_fork_and_fault_side_by_side()
    {
        ScriptedSource source = Scripted(64 * Page);
        source.InMemory = true;
        ServedClient parent = Serve();
        ulong at = parent.MapRegistered(64 * Page, source);
        PendingReply[] readers = [.. Enumerable.Range(1, 3).Select(t => parent.Client.Begin($"shuffle {at} {64 * Page} 3000 {t}", t))];
        List<int> children = [];
        for (int i = 0; i < 8; i++)
            children.Add((int)parent.Client.Run("forkquiet", 5));
        foreach (PendingReply reader in readers)
            reader.AwaitValue();
        parent.AssertHolds(at, 64 * Page, source);
        foreach (int pid in children)
        {
            using SafePidFd child = PidFd.TryOpen(pid, out _)!;
            Assert.Equal(Errno.OK, PidFd.SendSignal(child, Signals.Kill));
            parent.Client.Run($"waitpid {pid}");
        }

        Eventually.True(() => Alice.Usage.Sessions == 1, "the children's sessions to end");
    }
}
