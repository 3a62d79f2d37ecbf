using UffdManager.Engine.Loops;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Events;

/// <summary>
/// A manager lets a client go whose thread waits for one of its events to be read. The clients hold duplicates of their userfaultfds: what the manager
/// leaves unread nobody reads.
/// </summary>
public sealed class EndTests : EngineTest
{
    [Theory]
    [InlineData("madvise {0} 4096 4")]
    [InlineData("munmap {0} 4096")]
    [InlineData("forkquiet")]
    public void Client_that_waits_for_an_event_goes_on_when_it_is_released(string change)
    {
        ServedClient client = Serve(policy: Zero, keeper: true);
        ulong at = client.MapRegistered(4 * Page);
        client.Client.WriteByte(at, 1);
        Assert.Equal(SessionEndReason.Released, EndWhileChanging(client, string.Format(null, change, at), EndMode.Stop));
        client.AssertZero(at + Page, 3 * Page);
    }

    [Fact]
    public void Client_that_waits_for_an_event_goes_on_after_its_farewell()
    {
        ServedClient client = Serve(policy: Zero);
        ulong at = client.MapRegistered(4 * Page);
        Assert.Equal(SessionEndReason.Bye, EndWhileChanging(client, $"madvise {at} {Page} 4", EndMode.Bye));
    }

    [Fact]
    public void Range_that_is_moving_when_its_client_is_released_reads_as_zeros_at_its_new_place()
    {
        ServedClient client = Serve(policy: Zero, keeper: true);
        ulong at = client.MapRegistered(4 * Page);
        (ulong target, _) = client.Client.Map("anon", 4 * Page);
        EndWhileChanging(client, $"mremap {at} {4 * Page} {4 * Page} {target}", EndMode.Stop);
        client.AssertZero(target, 4 * Page);
    }

    [Fact]
    public void Complete_range_that_gives_back_to_its_source_is_left_to_its_keeper()
    {
        ScriptedSource source = Scripted(Page);
        ServedClient client = Serve(keeper: true);
        ulong at = client.MapRegistered(Page, source, flags: RegionFlags.RemoveMeansSource);
        client.AssertHolds(at, Page, source);
        Assert.Equal(0, Engine.StopAsync(TimeSpan.FromSeconds(10)).Finish());
        Assert.Equal(SessionEndReason.LeftToKeeper, WaitForEvent<SessionEnded>(e => e.Session == client.Session).Reason);
    }

    // The fault loop stands still in one command while the client begins its change, and the end of the session is the next command: it comes before
    // the loop looks at the userfaultfd again.
    private SessionEndReason EndWhileChanging(ServedClient client, string change, EndMode mode)
    {
        using ManualResetEventSlim stopped = new();
        using ManualResetEventSlim goesOn = new();
        LoopCommand<bool> stop = new(_ =>
        {
            stopped.Set();
            return goesOn.Wait(Eventually.DefaultDeadline);
        });
        client.Session.Loop.Post(stop);
        PendingReply changing;
        Task<EngineResult> ended;
        try
        {
            Assert.True(stopped.Wait(Eventually.DefaultDeadline), "the fault loop does not come by");
            changing = client.Client.Begin(change, 1);
            Eventually.True(() => Userfaultfd.IsChanging(client.Session.Lease), "the client to wait for its event");
            ended = Engine.EndAsync(client.Session, mode);
        }
        finally
        {
            goesOn.Set();
            Assert.True(stop.Task.Finish());
        }

        Assert.Null(ended.Finish().Error);
        changing.AwaitValue();
        return WaitForEvent<SessionEnded>(e => e.Session == client.Session).Reason;
    }
}
