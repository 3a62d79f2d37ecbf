using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.State;

/// <summary>Children that are being forked when the manager ends: their userfaultfd goes down with it, and the kernel gives them zeros from then on.</summary>
public sealed class LostChildTests : RestoreTest
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Child_that_would_read_the_holes_of_an_image_as_zeros_is_killed(bool isBehindZeros)
    {
        // The policy's own source, zeros, has no part in what the image contains.
        SharedImage image = Own(SharedImage.Create(RandomFile(4 * (long)Page, 1, out byte[] contents), 0, 4 * (long)Page, writable: false, "object"));
        ServedClient parent = Serve(policy: Zero);
        using SafeFd handed = image.HandOut(false);
        int number = parent.Client.Give(handed);
        ulong at = parent.Client.Run($"mapfd {number} 0 {4 * Page} 0 3");
        ulong first = isBehindZeros ? at + Page : at;
        if (isBehindZeros)
            parent.Register(at, Page);
        Assert.Null(parent.TryRegister(first, at + (4 * Page) - first, modes: UffdRegisterModes.Missing | UffdRegisterModes.Minor, image: image, offset: (long)(first - at)).Error);
        parent.Client.Run("fork");
        ClientProcess child = Track(parent.Client.AcceptChild());
        RestoreReport report = RestartWithout(parent, ChildOf(parent.Session));
        RestoreFailure failure = Assert.Single(report.Failures);
        Assert.Equal((child.Pid, true), (failure.Pid, failure.Killed));
        child.WaitForExit();
        Assert.Equal(contents[first - at], Again(parent, report).Client.ReadByte(first));
    }

    [Fact]
    public void Child_of_a_process_that_is_not_known_yet_is_told_of()
    {
        ServedClient first = Serve();
        first.MapRegistered(4 * Page, RandomFile(4 * (long)Page, 1, out _));
        first.Client.Run("fork");
        ClientProcess second = Track(first.Client.AcceptChild());
        Session session = ChildOf(first.Session);
        second.Run("fork");
        Track(second.AcceptChild());
        RestoreReport report = RestartWithout(first with { Client = second, Session = session }, ChildOf(session));
        RestoreFailure failure = Assert.Single(report.Failures);
        Assert.Equal((session.Id, 0, false), (failure.SessionId, failure.Pid, failure.Killed));
        Assert.Contains("forked", failure.Reason, StringComparison.Ordinal);
    }

    private Session ChildOf(Session parent)
    {
        Session? child = null;
        Eventually.True(() => (child = Engine.Sessions().SingleOrDefault(it => it.ParentId == parent.Id)) is not null, "the child's session");
        return child!;
    }

    // As if the manager had ended when it had read of the fork, and nothing more.
    private RestoreReport RestartWithout(ServedClient parent, Session child)
    {
        EndManager();
        Store.Remove(NameOf(child));
        SafeMemfd copy = Store.Peek(NameOf(parent.Session), IsState).Duplicate<SafeMemfd>();
        using (SessionLedger ledger = new(StateMemory.Open(copy, new MemoryGauge())))
            ledger.Inbox(1)[0] = new UffdMessage { Event = UffdEventKind.Fork, ForkFd = 1 };
        return StartNext();
    }
}
