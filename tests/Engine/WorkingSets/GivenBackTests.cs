using UffdManager.Engine.Regions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.WorkingSets;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>Pages that are given back, and have the source's contents again.</summary>
public sealed class GivenBackTests : WorkingSetTest
{
    [Fact]
    public void Page_that_is_given_back_and_read_again_is_touched_for_the_first_time_once()
    {
        FileSource file = RandomFile((long)Image, 1, out byte[] contents);
        ServedClient first = Serve(policy: Replay);
        ulong at = first.MapRegistered(Image, file, flags: RegionFlags.RemoveMeansSource);
        TouchAgainAndAgain(first, at, contents);
        Assert.Equal(64, Assert.Single(first.Session.Runs).Touches.Count);

        // What has not been there before is new, also where something was given back.
        AssertPage(first, at + (64 * Page), contents, 64);
        Assert.Equal(65, first.Session.Runs[0].Touches.Count);
        EndRun(first);

        ServedClient second = Serve(policy: Replay);
        at = second.MapRegistered(Image, file, flags: RegionFlags.RemoveMeansSource);
        WaitForReplay(second, Enumerable.Range(0, 65).Count(page => !Trace.IsProbe((uint)page, 1)));
        WaitForEndOfJobs(second);
        TouchAgainAndAgain(second, at + (1000 * Page), contents, 1000);
        Assert.Equal(64, second.Session.Runs[0].Misses);
        EndRun(second);
        Assert.Equal(64, CountersOf(Alice).Replayed(ReplayPages.Missed));
    }

    [Fact]
    public void Ranges_are_joined_and_bounded()
    {
        Random random = new(7);
        for (int round = 0; round < 200; round++)
        {
            PagesGivenBack pages = new();
            HashSet<uint> model = [];
            for (int i = 0; i < 40; i++)
            {
                uint start = (uint)random.Next(300);
                uint end = start + 1 + (uint)random.Next(round % 20 + 1);
                pages.Add(start, end);
                for (uint page = start; page < end; page++)
                    model.Add(page);
            }

            Assert.All(Enumerable.Range(0, 330), page => Assert.Equal(model.Contains((uint)page), pages.Contains((uint)page)));
            Assert.Equal(model.Count(page => !model.Contains(page + 1)), pages.Ranges);
        }

        PagesGivenBack many = new();
        for (uint i = 0; i <= PagesGivenBack.MaximumRanges; i++)
            many.Add(i * 2, (i * 2) + 1);
        Assert.Equal(PagesGivenBack.MaximumRanges, many.Ranges);
        Assert.False(many.Contains(PagesGivenBack.MaximumRanges * 2));
        many.Add(0, uint.MaxValue);
        Assert.True(many.Ranges == 1 && many.Contains(PagesGivenBack.MaximumRanges * 2) && many.Contains(uint.MaxValue - 1));
    }

    private static void TouchAgainAndAgain(ServedClient it, ulong at, byte[] contents, ulong first = 0)
    {
        for (int round = 0; round < 3; round++)
        {
            for (ulong page = 0; page < 64; page++)
                AssertPage(it, at + (page * Page), contents, first + page);
            it.Client.Run($"madvise {at} {64 * Page} 4");
        }
    }
}
