using UffdManager.Engine.Inspection;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests;

/// <summary>What an operator sees of sessions, regions and pages is what there is.</summary>
public sealed class InspectionTests : EngineTest
{
    [Fact]
    public void Map_tells_the_state_of_every_page()
    {
        ScriptedSource source = Scripted(16 * Page);
        ServedClient it = Serve(policy: Named with { OnUnavailable = Verdict.Poison, Deadline = TimeSpan.FromHours(1) });
        ulong at = it.MapRegistered(16 * Page, source);
        it.AssertHolds(at, 4 * Page, source);
        it.Client.Run($"madvise {at} {Page} 4");

        // Of a page beyond the end nobody waits to hear more: it is judged at once.
        source.Failure = Errno.ENXIO;
        source.FailAlways();
        Assert.Equal(ClientReply.Sigbus, it.Client.Try($"read {at + (8 * Page)}").Signal);
        source.FailNext(0);
        source.Hold();
        PendingReply waiting = it.Client.Begin($"read {at + (12 * Page)}", thread: 1);
        source.WaitForFetches(1);
        PageMap map = Eventual(it, at + Page, 4, candidate => candidate.InFlight.Sum() == 1);

        Assert.Equal((16, 4, at), (map.Pages, map.PagesPerCell, map.Region.Start));
        Assert.Equal([0, 4, 3, 3], map.Absent);
        Assert.Equal([3, 0, 0, 0], map.Present);
        Assert.Equal([1, 0, 0, 0], map.Removed);
        Assert.Equal([0, 0, 1, 0], map.Poisoned);
        Assert.Equal([0, 0, 0, 1], map.InFlight);
        Assert.Equal([0, 0, 0, 1], map.Waited);
        source.Release();
        waiting.AwaitValue();
    }

    [SkippableFact]
    public void Map_of_written_pages_tells_them_from_those_that_are_write_protected_still()
    {
        Require.That((Engine.KernelFeatures & UffdFeatures.WpUnpopulated) != 0, "needs write protection of pages that are not there (Linux 6.4)");
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(8 * Page, modes: UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect);
        it.AssertZero(at, 8 * Page);
        Assert.Null(Engine.WriteProtectAsync(it.Session, at, 8 * Page, protect: true).Finish().Error);
        it.Client.WriteByte(at + (2 * Page), 1);
        it.Client.WriteByte(at + (7 * Page), 1);
        PageMap map = Map(it, at, 8)!;
        Assert.Equal([0, 0, 1, 0, 0, 0, 0, 1], map.Dirty);
        Assert.Equal(8, map.Present.Sum());
    }

    [Theory]
    [InlineData(16, 1, 1)]
    [InlineData(16, 3, 3)]
    [InlineData(16, 7, 6)]
    [InlineData(16, 4096, 16)]
    public void Cells_cover_the_region_whatever_their_number(int pages, int cells, int expected)
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered((ulong)pages * Page);
        it.AssertZero(at, 5 * Page);
        PageMap map = Map(it, at + ((ulong)pages * Page) - 1, cells)!;
        Assert.Equal(expected, map.Absent.Count);
        Assert.Equal((5, pages - 5), (map.Present.Sum(), map.Absent.Sum()));
    }

    [Fact]
    public void Map_of_a_vast_region_costs_what_was_touched()
    {
        ServedClient it = Serve(policy: Zero);
        (ulong at, _) = it.Client.Map("anon", 1UL << 38);
        it.Register(at, 1UL << 38);
        it.Client.WriteByte(at + (1UL << 37) + 5, 1);
        PageMap map = Map(it, at, 256)!;
        Assert.Equal(1L << 26, map.Pages);
        Assert.Equal((128, 1L), (map.Present.ToList().IndexOf(1), map.Present.Sum()));
    }

    [Fact]
    public void Map_adds_up_while_the_region_is_worked_on()
    {
        ServedClient it = Serve(policy: Zero with { FaultAroundBytes = 64 * 1024 });
        ulong at = it.MapRegistered(64 * MiB);
        PendingReply work = it.Client.Begin($"touch {at} {64 * MiB}", thread: 1);
        PendingReply removal = it.Client.Begin($"madvise {at} {32 * MiB} 4", thread: 2);
        for (int i = 0; i < 20; i++)
        {
            PageMap map = Map(it, at, 100)!;
            long sum = new[] { map.Absent, map.InFlight, map.Present, map.Removed, map.Poisoned }.Sum(state => state.Sum());
            Assert.Equal(map.Pages, sum);
        }

        work.AwaitValue();
        removal.AwaitValue();
    }

    [Fact]
    public void Map_of_an_address_that_no_region_holds_is_none()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(4 * Page);
        Assert.Null(Map(it, at - 1, 4));
        Assert.Null(Map(it, at + (4 * Page), 4));
    }

    [Fact]
    public void Regions_come_by_address_from_where_one_asks_and_as_many_as_one_wants()
    {
        const int Count = 300;
        ServedClient it = Serve(policy: Zero);
        (ulong at, _) = it.Client.Map("anon", 2 * Count * Page);
        for (ulong i = 0; i < Count; i++)
            it.Register(at + (2 * i * Page), Page);
        IReadOnlyList<RegionInfo> all = Engine.RegionsAsync(it.Session, 0, 1000).Finish();
        Assert.Equal(Enumerable.Range(0, Count).Select(i => at + (2 * (ulong)i * Page)), all.Select(region => region.Start));
        Assert.Equal([at + (400 * Page), at + (402 * Page)], Engine.RegionsAsync(it.Session, at + (399 * Page), 2).Finish().Select(region => region.Start));
        Assert.Equal(at + (400 * Page), Engine.RegionsAsync(it.Session, at + (400 * Page) + 1, 1).Finish().Single().Start);
        Assert.Empty(Engine.RegionsAsync(it.Session, at + (2 * Count * Page), 5).Finish());
    }

    [Fact]
    public void Many_sessions_are_read_in_the_order_in_which_they_were_named()
    {
        ServedClient[] served = [.. Enumerable.Range(0, 5).Select(_ => Serve(policy: Zero))];
        for (int i = 0; i < served.Length; i++)
        {
            ulong at = served[i].MapRegistered(16 * Page);
            served[i].AssertZero(at, (ulong)(i + 1) * Page);
        }

        Session[] sessions = [.. served.Reverse().Select(it => it.Session)];
        IReadOnlyList<SessionReading> readings = Engine.ReadAsync(sessions).Finish();
        Assert.Equal([5, 4, 3, 2, 1], readings.Select(reading => reading.Faults));
        Assert.All(readings, reading => Assert.Equal((SessionState.Serving, 1, 16 * Page), (reading.State, reading.Regions, reading.RegisteredBytes)));
        Assert.Equal(2, readings.Select(reading => reading.Loop).Distinct().Count());
        Assert.Empty(Engine.ReadAsync([]).Finish());
    }

    [Fact]
    public void Kill_ends_the_process_and_may_be_asked_for_again()
    {
        ServedClient it = Serve(policy: Zero);
        Assert.Same(it.Session, Engine.FindSession(it.Session.Id));
        Assert.Null(FaultEngine.KillAsync(it.Session).Finish().Error);
        Eventually.True(() => it.Client.HasExited, "the client to be killed");
        WaitForEvent<SessionEnded>();
        Assert.Null(Engine.FindSession(it.Session.Id));
        Assert.NotNull(FaultEngine.KillAsync(it.Session).Finish().Error);
    }

    private static PageMap? Map(ServedClient it, ulong address, int cells) => FaultEngine.MapAsync(it.Session, address, cells, CancellationToken.None).Finish();

    private static PageMap Eventual(ServedClient it, ulong address, int cells, Func<PageMap, bool> condition)
    {
        PageMap? map = null;
        Eventually.True(() => (map = Map(it, address, cells)) is not null && condition(map), "the map to show it");
        return map!;
    }
}
