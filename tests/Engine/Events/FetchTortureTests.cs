using System.Diagnostics;
using UffdManager.Engine.Tests.Harness;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Events;

/// <summary>
/// Windows are fetched from slow sources, for readers that nobody controls, while their range is written, given back, moved and filled
/// ahead by a thread that knows what every page must be.
/// </summary>
public sealed class FetchTortureTests : EngineTest
{
    private const ulong Pages = 24;

    private static readonly TimeSpan s_duration = TimeSpan.FromSeconds(5);

    [Fact]
    public void Every_page_is_at_all_times_what_its_owner_made_it()
    {
        Options = Options with { FaultLoops = 1 };
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = 32768 });
        long began = Stopwatch.GetTimestamp();
        int steps = 0;
        Exception? failure = Record.Exception(() => Parallel.For(0, 3, new ParallelOptions { MaxDegreeOfParallelism = 3 }, worker =>
        {
            Random random = new(2000 + worker);
            while (Stopwatch.GetElapsedTime(began) < s_duration)
                Interlocked.Add(ref steps, LifeOfARange(it, random, worker));
        }));
        Assert.Null(Seen<ClientKilled>()?.Reason);
        Assert.Null(failure);
        Assert.True(steps > 30, $"{steps} steps prove nothing");
        Eventually.True(() => it.Status().Regions == 0, "the last unmap to be known");
    }

    [Fact]
    public void Children_forked_in_the_midst_of_fetches_and_removals_see_what_their_parent_was_to_see()
    {
        ScriptedSource source = Scripted(Pages * Page);
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = 16384 });
        ulong at = it.MapRegistered(Pages * Page, source);
        ulong given = it.MapRegistered(Pages * Page, source);
        it.Client.Run($"madvise {given} {Pages * Page} 4");
        for (int round = 0; round < 8; round++)
        {
            // Half of the pages are in flight or not there yet in each round.
            ulong fresh = it.MapRegistered(Pages * Page, source);
            PendingReply[] busy =
            [
                it.Client.Begin($"shuffle {fresh} {Pages * Page} 20 {round + 1}", 1),
                it.Client.Begin($"shuffle {at} {Pages * Page} 20 {round + 2}", 2),
                it.Client.Begin($"madvise {given} {Pages * Page} 4", 3),
            ];
            it.Client.Run("fork", 4);
            using (ClientProcess child = it.Client.AcceptChild())
            {
                AssertHolds(child, fresh, source);
                AssertHolds(child, at, source);
                Assert.True(child.IsFilledWith(given, Pages * Page, 0));
            }

            foreach (PendingReply reply in busy)
                reply.AwaitValue();
            it.AssertHolds(fresh, Pages * Page, source);
        }

        Eventually.True(() => Alice.Usage.Sessions == 1, "the children's sessions to end");
    }

    private static void AssertHolds(ClientProcess child, ulong at, ScriptedSource source)
    {
        for (ulong page = 0; page < Pages; page++)
            Assert.Equal((ulong)source.ByteOf((long)(page * Page)), child.Run($"read {at + (page * Page)}"));
    }

    private static int LifeOfARange(ServedClient it, Random random, int worker)
    {
        using ScriptedSource source = new((long)(Pages * Page), (byte)random.Next(1, 200));
        ClientProcess client = it.Client;
        byte[] expected = [.. Enumerable.Range(0, (int)Pages).Select(page => source.ByteOf(page * (long)Page))];
        ulong at = client.Run($"map anon {Pages * Page}", worker);
        it.Register(at, Pages * Page, source);
        Task<EngineResult>? prefetch = null;
        PendingReply? reader = null;
        int steps = random.Next(5, 30);
        for (int step = 0; step < steps; step++)
        {
            ulong page = (ulong)random.Next((int)Pages);
            ulong count = (ulong)random.Next(1, (int)(Pages - page) + 1);
            switch (random.Next(7))
            {
                case 0:
                    client.Run($"madvise {at + (page * Page)} {count * Page} 4", worker);
                    Array.Clear(expected, (int)page, (int)count);
                    break;
                case 1:
                    byte value = (byte)random.Next(256);
                    client.Run($"write {at + (page * Page)} {value}", worker);
                    expected[page] = value;
                    break;
                case 2:
                    // Behind its back the address may become another worker's before that one has registered it.
                    reader?.Await();
                    ulong target = client.Run($"map anon {Pages * Page}", worker);
                    at = client.Run($"mremap {at} {Pages * Page} {Pages * Page} {target}", worker);
                    break;
                case 3:
                    prefetch ??= it.Engine.PrefetchAsync(it.Session, at, Pages * Page);
                    break;
                case 4:
                    // It may run into the end of its range when that moves away.
                    reader ??= client.Begin($"shuffle {at} {Pages * Page} 30 {random.Next(1, 1000)}", worker + 10);
                    break;
                default:
                    Assert.Equal((ulong)expected[page], client.Run($"read {at + (page * Page)}", worker));
                    break;
            }

            if (reader is { IsCompleted: true })
                reader = null;
        }

        for (ulong page = 0; page < Pages; page++)
            Assert.Equal((ulong)expected[page], client.Run($"read {at + (page * Page)}", worker));

        // As above: a reader that goes on would touch what another worker has mapped there and not registered yet, which is zeros then, and stays so.
        reader?.Await();
        client.Run($"munmap {at} {Pages * Page}", worker);
        _ = prefetch?.Finish();
        return steps;
    }
}
