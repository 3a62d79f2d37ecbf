using UffdManager.Engine.Loops;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.State;

/// <summary>
/// Thread 1 moves A from X to Y, thread 2 then moves B from Z to X, and the manager reads of the second move first: A is set aside until its own event
/// comes. In between the manager ends, at each of the steps. The client's memory has really moved.
/// </summary>
public sealed class DisplacedTests : RestoreTest
{
    private const ulong Length = 4 * Page;

    private readonly byte[] _contentsOfA;
    private readonly byte[] _contentsOfB;
    private readonly FileSource _a;
    private readonly FileSource _b;
    private ulong _lengthOfB = Length;
    private bool _isOfTwoPieces;

    public DisplacedTests()
    {
        Options = Options with { FaultLoops = 1 };
        _a = RandomFile((long)Length, 1, out _contentsOfA);
        _b = RandomFile((long)Length, 2, out _contentsOfB);
    }

    [Fact]
    public void What_was_set_aside_finds_its_place_under_the_next_manager() => Check((loop, session, moves) =>
    {
        loop.ApplyEvent(session, ref moves.OfB);
        Note(session, moves.OfA);
    });

    [Fact]
    public void What_is_on_record_as_set_aside_and_not_cut_out_yet_is_cut_out() => Check((loop, session, moves) =>
    {
        SetAside(loop, session, moves);
        Region aside = Assert.Single(session.Displaced[0].Regions);
        session.Regions.Add(aside.Derive(moves.OfA.From, moves.OfA.From + Length, 0, aside.Generation));
        moves.OfB.Note = 1;
        Note(session, moves.OfB, moves.OfA);
    });

    [Fact]
    public void What_was_set_aside_and_is_not_on_record_as_such_is_set_aside_again() => Check((loop, session, moves) =>
    {
        SetAside(loop, session, moves);
        Region aside = Assert.Single(session.Displaced[0].Regions);
        session.Regions.Add(aside.Derive(moves.OfA.From, moves.OfA.From + Length, 0, aside.Generation));
        CopyStates(session, aside.Start, moves.OfA.From);
        Assert.True(session.Ledger.WriteAwaited([]));
        moves.OfB.Note = 1;
        Note(session, moves.OfB, moves.OfA);
    });

    [Fact]
    public void Half_a_move_of_what_was_set_aside_is_done_over() => Check((loop, session, moves) =>
    {
        loop.ApplyEvent(session, ref moves.OfB);
        Region aside = Assert.Single(session.Displaced[0].Regions);
        session.Regions.Add(aside.Derive(moves.OfA.To, moves.OfA.To + Length, 0, aside.Generation));
        moves.OfA.Step = RemapStep.PlaceIsFree;
        Note(session, moves.OfA);
    });

    [Fact]
    public void What_has_found_its_place_is_no_longer_set_aside() => Check((loop, session, moves) =>
    {
        loop.ApplyEvent(session, ref moves.OfB);
        Region aside = Assert.Single(session.Displaced[0].Regions);
        session.Regions.Add(aside.Derive(moves.OfA.To, moves.OfA.To + Length, 0, aside.Generation));
        CopyStates(session, aside.Start, moves.OfA.To);
        moves.OfA.Step = RemapStep.Done;
        moves.OfA.Note = 1;
        Note(session, moves.OfA);
    });

    [Fact]
    public void Every_piece_of_what_was_set_aside_finds_its_place()
    {
        _isOfTwoPieces = true;
        Check((loop, session, moves) =>
        {
            loop.ApplyEvent(session, ref moves.OfB);
            Assert.Equal(2, session.Displaced.Count);
            Note(session, moves.OfA);
        });
    }

    [Theory]
    [InlineData(RemapStep.Read)]
    [InlineData(RemapStep.Moved)]
    public void What_was_displaced_in_part_moves_whole(byte step)
    {
        _lengthOfB = 2 * Page;
        Check((loop, session, moves) =>
        {
            loop.ApplyEvent(session, ref moves.OfB);
            if (step == RemapStep.Moved)
            {
                // As far as another manager came: everything is at its new place, the old one is not vacated.
                Region aside = Assert.Single(session.Displaced[0].Regions);
                (ulong x, ulong y) = (moves.OfA.From, moves.OfA.To);
                session.Regions.Add(aside.Derive(y, y + _lengthOfB, 0, aside.Generation));
                session.Regions.Add(aside.Derive(y + _lengthOfB, y + Length, (long)_lengthOfB, aside.Generation));
                for (ulong page = 0; page < _lengthOfB; page += Page)
                    Assert.True(session.Pages.TrySet(y + page, session.Pages.Get(aside.Start + page)));
                moves.OfA.Step = RemapStep.Moved;
            }

            Note(session, moves.OfA);
        });
    }

    private static void SetAside(FaultLoop loop, Session session, Moves moves)
    {
        // Nothing lies where this one comes from; where it arrives is A.
        UffdMessage arrival = moves.OfB with { From = 1UL << 46 };
        loop.ApplyEvent(session, ref arrival);
    }

    private static void CopyStates(Session session, ulong from, ulong to)
    {
        for (ulong page = 0; page < Length; page += Page)
            Assert.True(session.Pages.TrySet(to + page, session.Pages.Get(from + page)));
    }

    private static void Note(Session session, params ReadOnlySpan<UffdMessage> messages) =>
        messages.CopyTo(session.Ledger.Inbox(messages.Length));

    private void Check(Action<FaultLoop, Session, Moves> end)
    {
        ServedClient client = Serve();
        (ulong x, _) = client.Client.Map("anon", Length);
        if (_isOfTwoPieces)
        {
            client.Register(x, 2 * Page, _a);
            client.Register(x + (2 * Page), 2 * Page, _a, offset: 2 * (long)Page);
        }
        else
        {
            client.Register(x, Length, _a);
        }

        ulong z = client.MapRegistered(_lengthOfB, _b);
        (ulong y, _) = client.Client.Map("anon", Length);
        Assert.Equal(_contentsOfA[0], client.Client.ReadByte(x));
        client.Client.Run($"madvise {x + Page} {Page} 4");
        Assert.Equal(_contentsOfB[Page], client.Client.ReadByte(z + Page));

        PendingReply[] moving = EndBetween(client, x, y, z, end);
        client = Again(client, StartNext());
        foreach (PendingReply reply in moving)
            reply.AwaitValue();
        AssertMoved(client, x, y);

        // Nothing is left that the next one would wait for.
        client = Again(client, Restart());
        AssertMoved(client, x, y);
        Assert.Empty(client.Session.Displaced);
        Assert.Equal(PageState.Absent, client.Session.Pages.Get(StateLayout.AsideBase + (x & (2 * MiB - 1))));
    }

    private PendingReply[] EndBetween(ServedClient client, ulong x, ulong y, ulong z, Action<FaultLoop, Session, Moves> end)
    {
        using ManualResetEventSlim stopped = new();
        using ManualResetEventSlim goesOn = new();
        Session session = client.Session;
        LoopCommand<bool> stop = new(loop =>
        {
            stopped.Set();
            Assert.True(goesOn.Wait(Eventually.DefaultDeadline));
            Moves moves = new() { OfA = Next(session), OfB = Next(session) };
            Assert.Equal((x, y), (moves.OfA.From, moves.OfA.To));
            Assert.Equal((z, x), (moves.OfB.From, moves.OfB.To));
            end(loop, session, moves);

            // The last thing that the loop does.
            return loop.Retire();
        });
        session.Loop.Post(stop);
        Assert.True(stopped.Wait(Eventually.DefaultDeadline), "the fault loop does not come by");
        PendingReply ofA = client.Client.Begin($"mremap {x} {Length} {Length} {y}", 1);
        Eventually.True(() => Userfaultfd.IsChanging(session.Lease), "the first move");
        Eventually.True(() => ProcessMap.Find(client.Client.Pid, x, out _, out _) == Errno.ENOENT, "the first move to have left its place");

        // Its message is queued after the move, when the thread has let go of the address space.
        Eventually.True(() => FdPoll.WaitReadable(session.Lease, TimeSpan.Zero), "the message of the first move");
        PendingReply ofB = client.Client.Begin($"mremap {z} {_lengthOfB} {_lengthOfB} {x}", 2);
        Eventually.True(() => ProcessMap.Find(client.Client.Pid, x, out _, out _) == Errno.OK && ProcessMap.Find(client.Client.Pid, z, out _, out _) == Errno.ENOENT, "the second move");

        Engine.Keeper.Leave();
        goesOn.Set();
        Assert.True(stop.Task.Finish());
        DropEngine();
        return [ofA, ofB];
    }

    private static UffdMessage Next(Session session)
    {
        UffdMessage[] read = new UffdMessage[1];
        Eventually.True(() => Userfaultfd.Read(session.Lease, read, out _) == 1, "the message of a move");
        return read[0];
    }

    private void AssertMoved(ServedClient client, ulong x, ulong y)
    {
        Assert.Equal(_contentsOfA[0], client.Client.ReadByte(y));
        Assert.Equal(0, client.Client.ReadByte(y + Page));
        Assert.Equal(_contentsOfA[2 * Page], client.Client.ReadByte(y + (2 * Page)));
        Assert.Equal(_contentsOfA[3 * Page], client.Client.ReadByte(y + (3 * Page)));
        Assert.Equal(_contentsOfB[0], client.Client.ReadByte(x));
        Assert.Equal(_contentsOfB[Page], client.Client.ReadByte(x + Page));
        Assert.Equal(_contentsOfB[_lengthOfB - Page], client.Client.ReadByte(x + _lengthOfB - Page));
        Eventually.True(() => client.Status().RegisteredBytes == Length + _lengthOfB, "the old places to be given up");
        Assert.Equal([.. new[] { x, y }.Order()], client.Regions().Where(region => region.Start == x || region.Start == y).Select(region => region.Start));
    }

    private sealed class Moves
    {
        public UffdMessage OfA;
        public UffdMessage OfB;
    }
}
