using System.Globalization;
using System.Runtime.InteropServices;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.State;

/// <summary>Programs that fork while the service manager does not read what it is to keep.</summary>
public sealed class UnstoredForkTests : RestoreTest
{
    private const int Pages = 16;

    /// <remarks>
    /// <code>
    /// program             manager                                  service manager
    ///                                                              does not get the processor: its socket is full
    /// forks
    ///                     reads of it, and has the only handle of
    ///                     the child; stores it, behind other messages
    ///                     that wait for room
    /// child: is served
    ///                     is killed
    /// child: zeros                                                 has never seen the handle
    /// </code>
    /// As long as the event is not read, the fork waits, and the handle is not made.
    /// </remarks>
    [Fact]
    public void Fork_waits_a_while_until_the_handle_of_the_child_would_be_kept_at_once()
    {
        // Longer than the test: only the store ends the wait.
        Options = Options with { ForkPatience = TimeSpan.FromDays(1) };
        ServedClient parent = ServeFile(out ulong at, out byte[] contents);
        Store.IsBehind = true;
        PendingReply fork = parent.Client.Begin("fork", 1);
        using (FdLease uffd = parent.Session.Uffd.Lease())
            Eventually.True(() => Userfaultfd.IsChanging(uffd), "the fork to be under way");
        for (int turn = 0; turn < 100; turn++)
            Engine.PingAsync().Finish();
        Assert.DoesNotContain(Engine.Sessions(), it => it.ParentId == parent.Session.Id);
        Store.IsBehind = false;
        fork.Await();
        ClientProcess child = Track(parent.Client.AcceptChild());
        Assert.Contains(NameOf(Assert.Single(ChildrenOf(parent, 1))), Store.Names);
        Assert.Equal(contents[0], child.ReadByte(at));
        Assert.Equal(contents[0], parent.Client.ReadByte(at));
    }

    // Anybody may fill the service manager's socket, and PID 1 leaves it full while it reloads: that is no reason to keep a page from anybody.
    [Fact]
    public void Faults_of_a_program_that_does_not_fork_are_served_however_long_nothing_can_be_stored()
    {
        Options = Options with { ForkPatience = TimeSpan.FromDays(1) };
        ServedClient client = ServeFile(out ulong at, out byte[] contents);
        Assert.True((client.Session.Features & UffdFeatures.EventFork) != 0);
        Store.IsBehind = true;
        for (int page = 0; page < Pages; page++)
            Assert.Equal(contents[page * (int)Page], client.Client.ReadByte(at + ((ulong)page * Page)));
        Assert.True(Store.IsBehind);
    }

    [Fact]
    public void Program_that_forks_and_changes_its_memory_goes_on_however_long_nothing_can_be_stored()
    {
        ServedClient parent = ServeFile(out ulong at, out byte[] contents);
        Store.IsBehind = true;
        parent.Client.Run("fork");
        ClientProcess child = Track(parent.Client.AcceptChild());
        for (int page = 0; page < Pages; page++)
        {
            ulong address = at + ((ulong)page * Page);
            Assert.Equal(contents[page * (int)Page], child.ReadByte(address));
            Assert.Equal(contents[page * (int)Page], parent.Client.ReadByte(address));
            parent.Client.Run($"madvise {address} {Page} 4");
            Assert.Equal(0, parent.Client.ReadByte(address));
        }

        Session session = Assert.Single(ChildrenOf(parent, 1));
        Assert.DoesNotContain(NameOf(session), Store.Names);
        Assert.NotEqual(0, parent.Session.Ledger.UnstoredForkSince);

        // With the keeper at last: whoever is forked from now on is nobody's loss.
        Store.IsBehind = false;
        Eventually.True(() => parent.Session.Ledger.UnstoredForkSince == 0, "the note to be taken back");
        RestoreReport report = Restart();
        Assert.Empty(report.Failures);
        Assert.Equal(2, report.Sessions.Count);
        Assert.Equal(contents[Page], child.ReadByte(at + Page));
    }

    /// <remarks>
    /// <code>
    /// threads of a program        manager                                        service manager
    /// 1: forks        2: forks                                                   room for the handle and the state of one child
    ///                             asks whether there is room: yes
    ///                             reads both, stores the one
    ///                             the other one waits in this process
    /// both children: are served
    ///                             is killed
    /// second child: zeros         its successor finds the note with the parent
    /// </code>
    /// </remarks>
    [Fact]
    public void Child_that_is_forked_beside_another_one_when_there_is_room_for_one_is_looked_for_by_the_next_manager()
    {
        ServedClient parent = ServeFile(out ulong at, out byte[] contents);
        List<ClientProcess> children = ForkTwice(parent, room: 2);
        foreach (ClientProcess child in children)
            Assert.Equal(contents[0], child.ReadByte(at));
        List<Session> sessions = ChildrenOf(parent, 2);
        Eventually.True(() => sessions.TrueForAll(session => session.Pid != 0), "both children to be known by their faults");
        ClientProcess kept = children.Single(child => child.Pid == sessions[0].Pid);
        ClientProcess lost = children.Single(child => child.Pid == sessions[1].Pid);
        RestoreReport report = EndWithWhatWaits();
        RestoreFailure failure = Assert.Single(report.Failures);
        Assert.Equal((lost.Pid, true), (failure.Pid, failure.Killed));
        lost.WaitForExit();
        for (ulong page = 1; page < Pages; page++)
        {
            Assert.Equal(contents[page * Page], kept.ReadByte(at + (page * Page)));
            Assert.Equal(contents[page * Page], parent.Client.ReadByte(at + (page * Page)));
        }
    }

    // The handle is kept, what it is for is not.
    [Fact]
    public void Child_whose_state_alone_was_not_stored_reads_no_zeros_either()
    {
        ServedClient parent = ServeFile(out ulong at, out byte[] contents);
        Store.LeaveRoomFor(1);
        parent.Client.Run("fork");
        ClientProcess child = Track(parent.Client.AcceptChild());
        Assert.Equal(contents[0], child.ReadByte(at));
        RestoreReport report = EndWithWhatWaits();
        Assert.Single(report.Failures);
        Assert.False(child.HasExited);
        Assert.NotEqual(0, child.Try($"read {at + Page}").Signal);
        Assert.Equal(contents[Page], parent.Client.ReadByte(at + Page));
    }

    // Nothing of the child is in the store, and so nothing of what is on record with it either.
    [Fact]
    public void Grandchild_of_a_child_that_was_not_stored_is_found_too()
    {
        ServedClient parent = ServeFile(out ulong at, out byte[] contents);
        Store.IsBehind = true;
        parent.Client.Run("fork");
        ClientProcess child = Track(parent.Client.AcceptChild());
        Assert.Equal(contents[0], child.ReadByte(at));
        child.Run("fork");
        ClientProcess grandchild = Track(child.AcceptChild());
        Assert.Equal(contents[0], grandchild.ReadByte(at));
        RestoreReport report = EndWithWhatWaits();
        Assert.Equal(new[] { child.Pid, grandchild.Pid }.Order(), report.Failures.Select(failure => failure.Pid).Order());
        Assert.All(report.Failures, failure => Assert.True(failure.Killed));
        child.WaitForExit();
        grandchild.WaitForExit();
        Assert.Equal(contents[Page], parent.Client.ReadByte(at + Page));
    }

    // Who was forked before has long been somebody's who keeps it, or nobody's on purpose.
    [Fact]
    public void Child_of_before_that_has_nothing_to_do_with_the_manager_any_more_is_left_alone()
    {
        ServedClient parent = ServeFile(out ulong at, out byte[] contents);
        parent.Client.Run("fork");
        ClientProcess free = Track(parent.Client.AcceptChild());
        Assert.Equal(contents[0], free.ReadByte(at));
        Session session = Assert.Single(ChildrenOf(parent, 1));
        Eventually.True(() => session.Pid == free.Pid, "the child to be known by its fault");
        Assert.Equal(ClientProcess.Hash(contents), free.HashRange(at, Pages * Page));
        Assert.Null(Engine.UnregisterAsync(session, at, Pages * Page).Finish().Error);

        // Start times are counted in hundredths of a second.
        ulong born = StartOf(free.Pid);
        Eventually.True(() => (ulong)BoottimeClock.NowNanoseconds / 10_000_000 > born + 3, "the next fork to be younger");
        Store.IsBehind = true;
        parent.Client.Run("fork");
        ClientProcess lost = Track(parent.Client.AcceptChild());
        Assert.Equal(contents[0], lost.ReadByte(at));
        RestoreReport report = EndWithWhatWaits();
        Assert.Equal(lost.Pid, Assert.Single(report.Failures).Pid);
        Assert.Equal(ClientProcess.Hash(contents), free.HashRange(at, Pages * Page));
    }

    // A fork is an exec at once, more often than not, and its session is over then. What the new program maps may lie where the parent's ranges do.
    [Fact]
    public void Descendant_that_executes_another_program_is_left_alone_whatever_it_maps()
    {
        // Far from where the kernel puts libraries and stacks.
        const ulong Place = 0x10_0000_0000;
        PageSource source = RandomFile(Pages * (long)Page, 1, out byte[] contents);
        ServedClient parent = Serve();
        ulong mapped = parent.Client.Map("anon", Pages * Page).Address;
        parent.Client.Run($"mremap {mapped} {Pages * Page} {Pages * Page} {Place}");
        parent.Register(Place, Pages * Page, source);
        Store.IsBehind = true;
        parent.Client.Run("fork");
        ClientProcess lost = Track(parent.Client.AcceptChild());
        Assert.Equal(contents[0], lost.ReadByte(Place));
        parent.Client.Run("fork");
        ClientProcess child = Track(parent.Client.AcceptChild());
        _ = child.Begin("exec");
        ClientProcess other = Track(child.AcceptChild());
        Assert.Equal(child.Pid, other.Pid);
        other.Run($"mapfixed {Place - Page} {2 * Page}");
        other.WriteByte(Place, 9);
        RestoreReport report = EndWithWhatWaits();
        Assert.Equal(lost.Pid, Assert.Single(report.Failures).Pid);
        Assert.Equal(9, other.ReadByte(Place));
        Assert.Equal(contents[Page], parent.Client.ReadByte(Place + Page));
    }

    private static ulong StartOf(int pid)
    {
        Assert.True(ProcessInfo.TryReadStartTime(pid, out ulong startTime));
        return startTime;
    }

    private ServedClient ServeFile(out ulong at, out byte[] contents)
    {
        ServedClient client = Serve();
        at = client.MapRegistered(Pages * Page, RandomFile(Pages * (long)Page, 1, out contents));
        return client;
    }

    // Both threads are in the kernel, asleep in fork, when the loop goes on.
    private List<ClientProcess> ForkTwice(ServedClient parent, int room)
    {
        PendingReply first;
        PendingReply second;
        using (new HeldLoop(parent.Session))
        {
            Store.LeaveRoomFor(room);
            first = parent.Client.Begin("forkfree", 1);
            second = parent.Client.Begin("forkfree", 2);
            Eventually.True(() => ThreadsThatFork(parent.Client.Pid) == 2, TimeSpan.FromSeconds(10), "both threads to wait in fork");
        }

        first.Await();
        second.Await();
        return [Track(parent.Client.AcceptChild()), Track(parent.Client.AcceptChild())];
    }

    // fork(2) of the C library is clone(2), or clone3(2); their numbers are those of the machine.
    private static int ThreadsThatFork(int pid)
    {
        string[] calls = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? ["56", "57", "435"] : ["220", "435"];
        return Directory.GetDirectories($"/proc/{pid.ToString(CultureInfo.InvariantCulture)}/task")
            .Count(thread => calls.Contains(File.ReadAllText(Path.Combine(thread, "syscall")).Split(' ')[0]));
    }

    private List<Session> ChildrenOf(ServedClient parent, int count)
    {
        List<Session> children = [];
        Eventually.True(
            () => (children = [.. Engine.Sessions().Where(it => it.ParentId == parent.Session.Id).OrderBy(it => it.Id)]).Count == count, "the children's sessions");
        return children;
    }

    // As if the manager had been killed: what waited in it went with it.
    private RestoreReport EndWithWhatWaits()
    {
        EndManager();
        Store.LoseWaiting();
        return StartNext();
    }
}
