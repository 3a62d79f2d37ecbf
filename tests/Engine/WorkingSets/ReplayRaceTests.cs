using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.WorkingSets;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>What becomes of a replay when the ground moves under it.</summary>
public sealed class ReplayRaceTests : WorkingSetTest
{
    [Fact]
    public void Page_given_back_before_the_replay_reaches_it_reads_as_zeros()
    {
        FileSource file = RandomFile((long)Image, 8, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        ServedClient it = Serve(policy: Replay);
        (ulong at, _) = it.Client.Map("anon", Image);
        it.Register(at, Image, file);

        // Whether the replay is ahead or behind: what the client gave back stays given back.
        it.Client.Run($"madvise {at} {2 * MiB} 4");
        it.AssertZero(at, 2 * MiB);
        Assert.Equal(ClientProcess.Hash(contents.AsSpan((int)(2 * MiB))), it.Client.HashRange(at + (2 * MiB), Image - (2 * MiB)));
    }

    [Fact]
    public void Range_that_is_unregistered_during_its_replay_ends_the_replay()
    {
        FileSource file = RandomFile((long)Image, 9, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        for (int round = 0; round < 20; round++)
        {
            ServedClient it = Serve(policy: Replay);
            ulong at = it.MapRegistered(Image, file);
            Assert.Null(Engine.UnregisterAsync(it.Session, at, Image).Finish().Error);
            it.Register(at, Image, ZeroSource.Instance);
            Assert.Equal(0, it.Client.ReadByte(at + (2047 * Page)));
            it.Client.Kill();
        }

        _ = contents;
    }

    [Fact]
    public void Client_that_dies_during_its_replay_leaves_nothing_behind()
    {
        FileSource file = RandomFile((long)Image, 10, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        for (int round = 0; round < 20; round++)
        {
            ServedClient it = Serve(policy: Replay);
            it.MapRegistered(Image, file);
            it.Client.Kill();
        }
    }

    [Fact]
    public void Batch_on_its_way_stands_for_no_address()
    {
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out _);
        using (new HeldLoop(it.Session))
        {
            Assert.NotEmpty(it.Session.Tickets);
            Assert.All(it.Session.Tickets, ticket => Assert.True(ticket.Batch is not null && ticket.Start > ulong.MaxValue / 2 && ticket.End > ticket.Start));
        }

        source.Release();
    }

    [Fact]
    public void Source_that_fails_ends_the_replay_and_nothing_else()
    {
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out ulong at);
        source.FailNext(1);
        source.Release();
        Eventually.True(() => it.Session.Jobs.Count == 0, "the end of the replay");
        foreach (ulong page in Wanted)
            it.AssertHolds(at + (page * Page), Page, source, (long)(page * Page));
        EndRun(it);
        Assert.Equal(1, CountersOf(Alice).Runs(ReplayOutcome.Failed));
    }
}
