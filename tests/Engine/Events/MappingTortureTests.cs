using System.Diagnostics;
using UffdManager.Engine.Tests.Harness;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Events;

/// <summary>
/// Threads of one process map, register, read, give back and unmap as fast as they can. The kernel hands an address that one thread has
/// just unmapped to the next thread that maps, while the event of the unmap is still on its way: whatever is confused about that shows
/// as wrong contents.
/// </summary>
public sealed class MappingTortureTests : EngineTest
{
    private static readonly TimeSpan s_duration = TimeSpan.FromSeconds(5);

    [Fact]
    public void Late_unmap_never_takes_the_region_of_the_ranges_next_owner()
    {
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = 16384 });
        long began = Stopwatch.GetTimestamp();
        int rounds = 0;
        Parallel.For(0, 6, new ParallelOptions { MaxDegreeOfParallelism = 6 }, thread =>
        {
            Random random = new(1000 + thread);
            while (Stopwatch.GetElapsedTime(began) < s_duration)
            {
                Round(it, random, thread);
                Interlocked.Increment(ref rounds);
            }
        });
        Assert.True(rounds >= 12, $"{rounds} rounds prove nothing");
        Eventually.True(() => it.Status().Regions == 0, "the last unmap to be known");
        Assert.Equal(0, it.Status().ResidentBytes);
    }

    private static void Round(ServedClient it, Random random, int thread)
    {
        ulong pages = (ulong)random.Next(1, 9);
        ClientProcess client = it.Client;
        ulong at = client.Run($"map anon {pages * Page}", thread);
        using ScriptedSource source = new((long)(pages * Page), (byte)random.Next(1, 200)) { InMemory = random.Next(2) == 0 };
        bool managed = random.Next(4) != 0;
        if (managed)
            it.Register(at, pages * Page, source);
        for (ulong page = 0; page < pages; page++)
        {
            if (random.Next(3) != 0)
                Assert.Equal(managed ? source.ByteOf((long)(page * Page)) : 0UL, client.Run($"read {at + (page * Page)}", thread));
        }

        ulong given = (ulong)random.Next((int)pages);
        switch (random.Next(4))
        {
            case 0:
                client.Run($"madvise {at + (given * Page)} {Page} 4", thread);
                Assert.Equal(0UL, client.Run($"read {at + (given * Page)}", thread));
                break;
            case 1:
                client.Run($"write {at + (given * Page)} 255", thread);
                Assert.Equal(255UL, client.Run($"read {at + (given * Page)}", thread));
                break;
            case 2:
                // No target is named, so it moves only if something lies behind it.
                at = client.Run($"mremap {at} {pages * Page} {pages * Page}", thread);
                break;
            default:
                break;
        }

        client.Run($"munmap {at} {pages * Page}", thread);
    }
}
