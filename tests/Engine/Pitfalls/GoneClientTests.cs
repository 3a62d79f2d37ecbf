using UffdManager.Engine.Sessions;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Pitfalls;

/// <summary>What is on its way for a client that is not there any more.</summary>
public sealed class GoneClientTests : EngineTest
{
    public GoneClientTests() => Options = Options with { FaultLoops = 1 };

    /// <remarks>
    /// <code>
    /// loop                                 client
    ///                                      reads a page
    /// has read the fault, and the page
    ///                                      is killed; its memory goes
    /// UFFDIO_COPY: ESRCH
    /// </code>
    /// </remarks>
    [SkippableTheory]
    [InlineData("anon", Page)]
    [InlineData("hugetlb", HugePages.PageSize)]
    public void Client_that_dies_between_its_fault_and_its_page_is_gone_and_nothing_else(string kind, ulong pageBytes)
    {
        using HugePages? pool = kind == "hugetlb" ? HugePages.AtLeast(2) : null;
        using StandingSource standing = new(pageBytes);
        ServedClient neighbour = Serve(Bob, Zero);
        ulong theirs = neighbour.MapRegistered(4 * Page);
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map(kind, pageBytes);
        it.Register(at, pageBytes, standing);
        PendingReply read = it.Client.Begin($"read {at}", 1);
        standing.AwaitLoop();
        it.Client.Kill();
        using (SafeUffd uffd = it.Session.Uffd.Duplicate<SafeUffd>())
        using (FdLease lease = uffd.Lease())
            Eventually.True(() => Userfaultfd.IsOwnerGone(lease), "the memory to go");
        standing.LetGo();
        SessionEnded ended = WaitForEvent<SessionEnded>(e => e.Session == it.Session);
        Assert.Equal((SessionEndReason.ClientExited, 0L), (ended.Reason, ended.CopiedBytes));
        Eventually.True(() => read.IsLost, "the end of the client's connection");
        Assert.Equal(1, CountersOf(Alice).Faults(FaultKind.Missing, FaultOutcome.ClientGone));
        neighbour.AssertZero(theirs, 4 * Page);
    }

    /// <remarks>
    /// The number of a userfaultfd, the address and the loop are the same: only that the descriptor is not gone for as long as somebody may use it, or that nobody does who is late, tells one from the other.
    /// </remarks>
    [SkippableTheory]
    [InlineData("anon", Page)]
    [InlineData("hugetlb", HugePages.PageSize)]
    public void Page_that_was_fetched_for_a_dead_client_does_not_get_into_who_has_its_number(string kind, ulong pageBytes)
    {
        using HugePages? pool = kind == "hugetlb" ? HugePages.AtLeast(2) : null;
        ScriptedSource old = Scripted(pageBytes);
        ScriptedSource young = Scripted(pageBytes, seed: 2);
        old.Hold();
        young.InMemory = true;
        ServedClient dead = Serve();
        (ulong at, _) = dead.Client.Map(kind, pageBytes);
        dead.Register(at, pageBytes, old);
        int number = dead.Session.Lease.Fd;
        ClientProcess client = StartClient();
        SafeUffd uffd = client.OpenUffd(UffdOpenFlags.None, out int theirs);
        _ = dead.Client.Begin($"read {at}", 1);
        old.WaitForFetches(1);
        dead.Client.Kill();
        WaitForEvent<SessionEnded>(e => e.Session == dead.Session);
        AttachResult result = Attach(client, Renumber(uffd, number));
        Assert.Null(result.Error);
        ServedClient next = new(Engine, client, result.Session!, theirs);
        Assert.Equal(number, next.Session.Lease.Fd);
        (ulong elsewhere, _) = next.Client.Map(kind, pageBytes);
        Assert.Equal(at, next.Client.Run($"mremap {elsewhere} {pageBytes} {pageBytes} {at}"));
        next.Register(at, pageBytes, young);
        old.Release();
        Eventually.True(() => Alice.Usage is { Fetches: 0 }, "the fetch to come back");
        Engine.PingAsync().Finish();
        Assert.Equal(0, next.Status().ResidentBytes);
        next.AssertHolds(at, Page, young);
        Assert.Equal(1, next.Status().Faults);
        next.Client.Kill();
    }

    // Each duplicate takes the lowest number that is free.
    private static SafeUffd Renumber(SafeUffd uffd, int number)
    {
        List<SafeUffd> others = [];
        while (NumberOf(uffd) != number)
        {
            others.Add(uffd);
            Assert.True(others.Count < 1000, $"{number} is not free");
            uffd = uffd.Duplicate<SafeUffd>();
        }

        others.ForEach(other => other.Dispose());
        return uffd;
    }

    private static int NumberOf(SafeUffd uffd)
    {
        using FdLease lease = uffd.Lease();
        return lease.Fd;
    }
}
