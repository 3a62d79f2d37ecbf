using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests;

/// <summary>One engine goes, the client's side keeps the descriptor, the next engine takes over.</summary>
public sealed class AdoptionTests : EngineTest
{
    [Fact]
    public void Faults_pending_when_the_first_engine_goes_are_answered_by_the_second()
    {
        // client thread            engine 1                 engine 2
        // read page 0 ...........> reads the fault, fetch hangs
        //                          disposed
        // read page 3 (unread)
        //                                                   adopts, learns the source, wakes all
        // both get the source
        ScriptedSource hanging = Scripted(8 * Page);
        hanging.Hold();
        ScriptedSource healthy = Scripted(8 * Page);
        ServedClient before;
        ulong at, zeros;
        PendingReply read, unread;
        using (FaultEngine first = new(Options))
        {
            first.Start();
            before = ServeOn(first);
            at = before.MapRegistered(8 * Page, hanging);
            zeros = before.MapRegistered(8 * Page);
            before.Client.Run($"fill {zeros} {2 * Page} 7");
            read = before.Client.Begin($"read {at}", 1);
            hanging.WaitForFetches(1);
            Assert.Equal(0, first.StopAsync(TimeSpan.FromSeconds(1)).Finish());
        }

        unread = before.Client.Begin($"read {at + (3 * Page)}", 2);
        ServedClient after = Adopt(before, Zero);
        Assert.Equal(SessionState.Adopting, after.Session.State);
        Assert.Equal(16 * Page, after.Status().RegisteredBytes);
        after.Register(at, 8 * Page, healthy);
        Assert.False(read.IsCompleted || unread.IsCompleted);
        Assert.Null(Engine.WakeAsync(after.Session, 0, 0).Finish().Error);
        Assert.Equal((ulong)healthy.ByteOf(0), read.AwaitValue());
        Assert.Equal((ulong)healthy.ByteOf(3 * (long)Page), unread.AwaitValue());
        after.AssertHolds(at, 8 * Page, healthy);
        Assert.True(after.Client.IsFilledWith(zeros, 2 * Page, 7));
        after.AssertZero(zeros + (2 * Page), 6 * Page);
        Assert.Equal((2, 16 * Page), (after.Status().Regions, after.Status().RegisteredBytes));
    }

    [Fact]
    public void Range_that_the_client_does_not_name_again_is_lost_unless_zeros_are_right_for_it()
    {
        ScriptedSource source = Scripted(8 * Page);
        ServedClient before;
        ulong at;
        using (FaultEngine first = new(Options))
        {
            first.Start();
            before = ServeOn(first);
            at = before.MapRegistered(8 * Page);
        }

        // Which part of the source it showed, nobody knows.
        ServedClient after = Adopt(before, Named with { Source = source, OnUnavailable = Verdict.Poison, Deadline = TimeSpan.FromMilliseconds(100) });
        Assert.Null(Engine.WakeAsync(after.Session, 0, 0).Finish().Error);
        Assert.Equal(ClientReply.Sigbus, after.Client.Try($"read {at}").Signal);
        Assert.Equal(0, source.Entered);
    }

    [Fact]
    public void Events_wait_for_the_end_of_the_adoption_and_are_applied_then()
    {
        ScriptedSource source = Scripted(8 * Page);
        ServedClient before;
        ulong at;
        using (FaultEngine first = new(Options))
        {
            first.Start();
            before = ServeOn(first);
            at = before.MapRegistered(8 * Page, source);
            before.AssertHolds(at, 8 * Page, source);
        }

        PendingReply remove = before.Client.Begin($"madvise {at} {2 * Page} 4", 1);
        ServedClient after = Adopt(before, Zero);
        after.Register(at, 8 * Page, source);
        Assert.False(remove.IsCompleted);
        Assert.Null(Engine.WakeAsync(after.Session, 0, 0).Finish().Error);
        remove.AwaitValue();
        after.AssertZero(at, 2 * Page);
        after.AssertHolds(at + (2 * Page), 6 * Page, source, 2 * (long)Page);
    }

    [Fact]
    public void Adopted_client_that_never_says_what_it_holds_is_killed()
    {
        Options = Options with { AdoptionTimeout = TimeSpan.FromMilliseconds(100) };
        ServedClient before;
        using (FaultEngine first = new(Options))
        {
            first.Start();
            before = ServeOn(first);
            before.MapRegistered(8 * Page);
        }

        ServedClient after = Adopt(before, Zero);
        before.Client.WaitForExit();
        Assert.Equal(SessionEndReason.ClientKilled, WaitForEvent<SessionEnded>(e => e.Session == after.Session).Reason);
    }

    [Fact]
    public void Adopted_client_may_tell_its_ranges_for_longer_than_it_may_be_silent()
    {
        Options = Options with { AdoptionTimeout = TimeSpan.FromSeconds(3) };
        ScriptedSource source = Scripted(32 * Page);
        ServedClient after = Adopt(Left(source, out ulong at), Zero);
        long began = MonotonicClock.NowNanoseconds;
        for (ulong page = 0; page < 16; page++)
        {
            // A client that needs some time for each: 4 s for all.
            long next = began + ((long)page * 250_000_000);
            Eventually.True(() => MonotonicClock.NowNanoseconds >= next, "the next range");
            after.Register(at + (page * Page), Page, source, offset: (long)(page * Page));
        }

        AssertIsServed(after, at, source);
    }

    [Fact]
    public void Adopted_client_does_not_pay_for_a_standstill_of_the_manager()
    {
        Options = Options with { AdoptionTimeout = TimeSpan.FromSeconds(3) };
        ScriptedSource source = Scripted(32 * Page);
        ServedClient after = Adopt(Left(source, out ulong at), Zero);
        using ManualResetEventSlim never = new();
        LoopCommand<bool> standstill = new(_ => never.Wait(TimeSpan.FromSeconds(3.2)));
        after.Session.Loop.Post(standstill);
        Assert.False(standstill.Task.Finish());
        after.Register(at, 16 * Page, source);
        AssertIsServed(after, at, source);
    }

    [Fact]
    public void Commands_after_the_end_of_the_engine_are_refused()
    {
        FaultEngine first = new(Options);
        first.Start();
        ServedClient before = ServeOn(first);
        first.Dispose();
        Assert.Throws<AggregateException>(() => first.StatusAsync(before.Session).Finish());
        Assert.Throws<AggregateException>(() => first.WriteProtectAsync(before.Session, 0, Page, protect: true).Finish());
    }

    [Fact]
    public void Source_that_hangs_beyond_the_end_of_its_engine_is_closed_when_it_returns()
    {
        int released = 0;
        ScriptedSource source = new((long)Page, 1) { Released = () => Interlocked.Increment(ref released) };
        source.Hold();
        using (FaultEngine first = new(Options))
        {
            first.Start();
            ServedClient before = ServeOn(first);
            ulong at = before.MapRegistered(Page, source);
            _ = before.Client.Begin($"read {at}", 1);
            source.WaitForFetches(1);
        }

        source.Dispose();
        Assert.Equal(0, released);
        source.Release();
        Eventually.True(() => Volatile.Read(ref released) == 1, "the source to be released");
        Eventually.True(() => Alice.Usage is { Fetches: 0, PagesInFlight: 0 }, "the books to be closed");
    }

    private void AssertIsServed(ServedClient after, ulong at, ScriptedSource source)
    {
        Assert.Equal(SessionState.Adopting, after.Session.State);
        Assert.Null(Engine.WakeAsync(after.Session, 0, 0).Finish().Error);
        after.AssertHolds(at, 16 * Page, source);
    }

    // By an engine that is gone.
    private ServedClient Left(ScriptedSource source, out ulong at)
    {
        using FaultEngine first = new(Options);
        first.Start();
        ServedClient before = ServeOn(first);
        at = before.MapRegistered(16 * Page, source);
        return before;
    }

    private ServedClient ServeOn(FaultEngine engine)
    {
        ClientProcess client = StartClient();
        SafeUffd uffd = client.OpenUffd(UffdOpenFlags.None, out int number);
        AttachResult attached = Attach(client, uffd, policy: Zero, keeper: true, engine: engine);
        return new ServedClient(engine, client, attached.Session!, number);
    }

    private ServedClient Adopt(ServedClient before, Policy policy)
    {
        SafeUffd kept = before.Client.Take<SafeUffd>(before.UffdNumber);
        AttachResult attached = Attach(before.Client, kept, policy: policy, keeper: true, apiDone: true, adopt: true);
        Assert.Null(attached.Error);
        return new ServedClient(Engine, before.Client, attached.Session!, before.UffdNumber);
    }
}
