using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Pitfalls;

/// <summary>
/// ENOMEM. What is filled is charged to whose memory it is: a control group that is full makes the kernel refuse us, again and again, for a client that has nothing to do with all others. (Huge pages come
/// from a pool of their own: HugePageTests.)
/// </summary>
public sealed class ClientMemoryLimitTests : EngineTest
{
    private const ulong Length = 32 * MiB;
    private const long Limit = 8 << 20;

    public ClientMemoryLimitTests() => Options = Options with { FaultLoops = 1 };

    [SkippableTheory]
    [InlineData("anon")]
    [InlineData("memfd-shared")]
    public void Client_whose_control_group_is_full_is_killed_at_its_deadline_and_its_neighbour_goes_on(string kind)
    {
        MemoryCgroup group = Own(MemoryCgroup.Create(Limit));
        TimeSpan deadline = TimeSpan.FromSeconds(1);
        ScriptedSource source = InMemory();
        ServedClient neighbour = Serve(Bob);
        ulong theirs = neighbour.MapRegistered(Length, source);
        ServedClient it = ServeWithin(group, Named with { OnUnavailable = Verdict.Kill, Deadline = deadline });
        (ulong at, _) = it.Client.Map(kind, Length);
        it.Register(at, Length, source);
        long began = MonotonicClock.NowNanoseconds;
        PendingReply touching = it.Client.Begin($"touch {at} {Length}", 1);
        AwaitRefusal();
        neighbour.AssertHolds(theirs, 64 * Page, source);
        ClientKilled killed = WaitForEvent<ClientKilled>();
        Assert.Same(it.Session, killed.Session);
        Assert.InRange(killed.Address, at, at + Length - Page);
        Assert.Contains("control group", killed.Reason, StringComparison.Ordinal);
        Assert.True(killed.At - began >= deadline.TotalNanoseconds);
        it.Client.WaitForExit();
        Eventually.True(() => touching.IsLost, "the end of the client's connection");
        neighbour.AssertHolds(theirs + (64 * Page), 64 * Page, source, 64 * (long)Page);
    }

    [SkippableTheory]
    [InlineData("anon")]
    [InlineData("memfd-shared")]
    public void Client_whose_control_group_gets_room_in_time_goes_on(string kind)
    {
        MemoryCgroup group = Own(MemoryCgroup.Create(Limit));
        ScriptedSource source = InMemory();
        ServedClient it = ServeWithin(group, Named);
        (ulong at, _) = it.Client.Map(kind, Length);
        it.Register(at, Length, source);
        PendingReply touching = it.Client.Begin($"touch {at} {Length}", 1);
        AwaitRefusal();
        Assert.False(touching.IsCompleted);
        Assert.InRange(group.Usage, Limit / 2, Limit);
        group.SetLimit(4 * (long)Length);
        touching.AwaitValue();
        Assert.Equal((long)Length, it.Status().ResidentBytes);
        for (ulong offset = 0; offset < Length; offset += 64 * Page)
            it.AssertHolds(at + offset, Page, source, (long)offset);
        it.Client.Kill();
    }

    private ScriptedSource InMemory()
    {
        ScriptedSource source = Scripted(Length);
        source.InMemory = true;
        return source;
    }

    // Its thread has been made: what it takes must not be what there is no room for.
    private ServedClient ServeWithin(MemoryCgroup group, Policy policy)
    {
        ClientProcess client = StartClient();
        client.Run("tid", 1);
        group.RefuseWhenFull(client.Pid);
        group.Add(client.Pid);
        return Serve(client, policy: policy);
    }

    private void AwaitRefusal() => Eventually.True(() => CountersOf(Alice).Deferrals(DeferralReason.NoMemory) > 0, "the kernel to refuse a page");
}
