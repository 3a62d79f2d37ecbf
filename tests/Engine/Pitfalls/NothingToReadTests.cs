using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Pitfalls;

/// <summary>EAGAIN from a userfaultfd that epoll has called readable: somebody else resolved its only fault in between, or has read its message.</summary>
public sealed class NothingToReadTests : EngineTest
{
    private const byte Theirs = 77;

    public NothingToReadTests() => Options = Options with { FaultLoops = 1, LivenessSweep = TimeSpan.FromHours(1) };

    /// <remarks>
    /// <code>
    /// loop                                      test
    /// epoll: both clients have faulted
    /// serves the first, whose source hangs
    ///                                           fills the page of the second
    /// reads the second's userfaultfd: EAGAIN
    /// </code>
    /// </remarks>
    [SkippableTheory]
    [InlineData("anon", Page)]
    [InlineData("hugetlb", HugePages.PageSize)]
    public void Fault_that_somebody_else_has_resolved_before_it_is_read_is_none(string kind, ulong pageBytes)
    {
        using HugePages? pool = kind == "hugetlb" ? HugePages.AtLeast(2) : null;
        (ServedClient it, ulong at, ScriptedSource source) = ServeSecond(kind, 2 * pageBytes);
        using SafeUffd own = it.Client.Take<SafeUffd>(it.UffdNumber);
        nuint page = NativePages.Map(pageBytes);
        NativePages.AsSpan(page, (int)pageBytes).Fill(Theirs);
        PendingReply read = ReadBetween(it, at, () =>
        {
            using FdLease lease = own.Lease();
            Assert.Equal(Errno.OK, Userfaultfd.Copy(lease, at, page, pageBytes, UffdCopyModes.None).Errno);
        });
        NativePages.Unmap(page, pageBytes);
        Assert.Equal((ulong)Theirs, read.AwaitValue());
        Assert.Equal(0, it.Status().Faults);
        it.AssertHolds(at + pageBytes, Page, source, (long)pageBytes);
        Assert.Equal(Theirs, it.Client.ReadByte(at + pageBytes - 1));
        Assert.Equal(1, it.Status().Faults);
        it.Client.Kill();
    }

    [Fact]
    public void Message_that_somebody_else_has_read_is_told_again_to_whom_it_is_for()
    {
        (ServedClient it, ulong at, ScriptedSource source) = ServeSecond("anon", Page);
        using SafeUffd own = it.Client.Take<SafeUffd>(it.UffdNumber);
        PendingReply read = ReadBetween(it, at, () => Assert.Equal((ulong)UffdEventKind.PageFault, it.Client.Run($"steal {it.UffdNumber}", 2)));
        Assert.Equal(0, it.Status().Faults);
        Assert.False(read.IsCompleted);
        using (FdLease lease = own.Lease())
            Assert.Equal(Errno.OK, Userfaultfd.Wake(lease, at, Page));
        Assert.Equal((ulong)source.ByteOf(0), read.AwaitValue());
        Assert.Equal(1, it.Status().Faults);
    }

    private (ServedClient It, ulong At, ScriptedSource Source) ServeSecond(string kind, ulong length)
    {
        ScriptedSource source = Scripted(length);
        source.InMemory = true;
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map(kind, length);
        it.Register(at, length, source);
        return (it, at, source);
    }

    // Reads a byte, and does something when the loop knows that there is a fault, and has not read it.
    private PendingReply ReadBetween(ServedClient second, ulong at, Action between)
    {
        using StandingSource standing = new(Page);
        ServedClient first = Serve();
        ulong held = first.MapRegistered(Page, standing);
        PendingReply before;
        PendingReply read;
        using (new HeldLoop(first.Session))
        {
            before = BeginFault(first, held);
            read = BeginFault(second, at);
        }

        standing.AwaitLoop();
        Assert.Equal(1, UffdFdInfoReader.Read(second.Session.Uffd).Pending);
        long wakeups = Engine.Loops()[0].Wakeups;
        between();
        Assert.Equal(wakeups, Engine.Loops()[0].Wakeups);
        standing.LetGo();
        Assert.Equal((ulong)StandingSource.Value, before.AwaitValue());

        // It was told of the second by the same call of epoll, looks there, and finds nothing; and not a second time.
        Eventually.True(() => Engine.Loops()[0].Wakeups == wakeups + 1, "the loop to look at the second client");
        Eventually.Never(() => Engine.Loops()[0].Wakeups != wakeups + 1, TimeSpan.FromMilliseconds(100), "a loop that spins");
        Assert.Equal(SessionState.Serving, second.Session.State);
        Assert.Null(Seen<ClientMisbehaved>());
        return read;
    }

    // The fault is not only in the userfaultfd, but whoever waits for it with epoll has been told.
    private static PendingReply BeginFault(ServedClient client, ulong at)
    {
        using SafeEpoll epoll = Epoll.Create();
        Epoll.Add(epoll, client.Session.Uffd, EpollEvents.In, 1);
        using FdLease lease = epoll.Lease();
        PendingReply read = client.Client.Begin($"read {at}", 1);
        Assert.Equal(1, Epoll.Wait(lease, new EpollEvent[1], (long)Eventually.DefaultDeadline.TotalNanoseconds));
        Epoll.Remove(epoll, client.Session.Uffd);
        return read;
    }
}
