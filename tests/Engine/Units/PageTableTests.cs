using FsCheck;
using FsCheck.Fluent;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.State;
using Xunit;

namespace UffdManager.Engine.Tests.Units;

/// <summary>The radix tree against a dictionary and a list of ranges.</summary>
public sealed class PageTableTests
{
    private const ulong Page = 4096;
    private const ulong Leaf = Page << 9;
    private const ulong Gigabyte = Leaf << 9;

    [Fact]
    public void Table_agrees_with_the_last_range_that_covers_a_page() =>
        Prop.ForAll(ArbMap.Default.ArbFor<int>(), seed => Agrees(new Random(seed))).Check(Config.QuickThrowOnFailure.WithMaxTest(300));

    [Fact]
    public void Runs_cover_everything_once_and_tell_the_truth() =>
        Prop.ForAll(ArbMap.Default.ArbFor<int>(), seed => RunsAgree(new Random(seed))).Check(Config.QuickThrowOnFailure.WithMaxTest(300));

    [Fact]
    public void Terabytes_of_one_state_take_a_handful_of_nodes()
    {
        using StateMemory arena = StateMemory.Create(new MemoryGauge());
        using PageTable table = new(arena, new TenantUsage(), long.MaxValue);
        ulong start = (7UL << 40) + Page;
        Assert.True(table.TrySetRange(start, start + (1UL << 40), PageState.Removed));
        Assert.Equal(PageState.Removed, table.Get(start + (1UL << 39)));
        Assert.Equal(PageState.Absent, table.Get(start - Page));
        Assert.Equal(PageState.Absent, table.Get(start + (1UL << 40)));
        Assert.InRange(arena.ReservedBytes, 1UL, 2UL << 20);

        // An exception in the middle keeps everything around it.
        Assert.True(table.TrySet(start + (1UL << 39), PageState.Present));
        Assert.Equal(PageState.Removed, table.Get(start + (1UL << 39) + Page));
        Assert.Equal(PageState.Removed, table.Get(start + (1UL << 39) - Page));
        Assert.InRange(arena.ReservedBytes, 1UL, 2UL << 20);
    }

    [Fact]
    public void Nodes_of_a_subtree_that_became_uniform_are_used_again()
    {
        using StateMemory arena = StateMemory.Create(new MemoryGauge());
        using PageTable table = new(arena, new TenantUsage(), long.MaxValue);
        for (int round = 0; round < 200; round++)
        {
            for (ulong at = 0; at < Gigabyte; at += Leaf)
                Assert.True(table.TrySet(at, PageState.Present));
            Assert.True(table.TrySetRange(0, Gigabyte, round % 2 == 0 ? PageState.Absent : PageState.Removed));
        }

        Assert.InRange(arena.ReservedBytes, 1UL, 2UL << 20);
    }

    [Fact]
    public void Memory_is_charged_to_the_tenant_refused_beyond_its_limit_and_given_back()
    {
        using StateMemory arena = StateMemory.Create(new MemoryGauge());
        TenantUsage usage = new();
        using (PageTable table = new(arena, usage, 64 * 1024))
        {
            ulong at = 0;
            while (table.TrySet(at, PageState.Present))
                at += Leaf;
            Assert.InRange(usage.PageTableBytes, 32 * 1024, 64 * 1024);
            Assert.Equal(PageState.Present, table.Get(0));
            Assert.Equal(PageState.Absent, table.Get(at));
            Assert.True(table.TrySetRange(0, Gigabyte, PageState.Removed));
            Assert.True(table.TrySet(at, PageState.Present));
        }

        Assert.Equal(0, usage.PageTableBytes);
    }

    [Fact]
    public void Highest_address_has_a_state_too()
    {
        using StateMemory arena = StateMemory.Create(new MemoryGauge());
        using PageTable table = new(arena, new TenantUsage(), long.MaxValue);
        ulong last = (1UL << 48) - Page;
        Assert.True(table.TrySetRange(last, 1UL << 48, PageState.Poisoned));
        Assert.Equal(PageState.Poisoned, table.Get(last));
        Assert.True(table.NextRun(last - Page, 1UL << 48, out ulong stop, out PageState state));
        Assert.Equal((last, PageState.Absent), (stop, state));
    }

    private static bool Agrees(Random random)
    {
        using StateMemory arena = StateMemory.Create(new MemoryGauge());
        using PageTable table = new(arena, new TenantUsage(), long.MaxValue);
        List<(ulong Start, ulong End, PageState State)> model = [];
        for (int step = 0; step < 40; step++)
        {
            Change(random, table, model);
            for (int probe = 0; probe < 20; probe++)
            {
                ulong at = Probe(random, model);
                if (table.Get(at) != Expected(model, at))
                    return false;
            }
        }

        return true;
    }

    private static bool RunsAgree(Random random)
    {
        using StateMemory arena = StateMemory.Create(new MemoryGauge());
        using PageTable table = new(arena, new TenantUsage(), long.MaxValue);
        List<(ulong Start, ulong End, PageState State)> model = [];
        for (int step = 0; step < 20; step++)
            Change(random, table, model);
        (ulong start, ulong end) = Range(random);
        ulong cursor = start;
        while (table.NextRun(cursor, end, out ulong stop, out PageState state))
        {
            if (stop <= cursor || stop > end || Expected(model, cursor) != state || Expected(model, stop - Page) != state)
                return false;
            ulong middle = cursor + ((stop - cursor) / 2 / Page * Page);
            if (Expected(model, middle) != state)
                return false;
            cursor = stop;
        }

        return cursor == end;
    }

    private static void Change(Random random, PageTable table, List<(ulong Start, ulong End, PageState State)> model)
    {
        PageState state = (PageState)random.Next(6) | (random.Next(3) == 0 ? PageState.Deferred : PageState.Absent);
        (ulong start, ulong end) = Range(random);
        if (random.Next(3) == 0)
        {
            Assert.True(table.TrySet(start, state));
            model.Add((start, start + Page, state));
        }
        else
        {
            Assert.True(table.TrySetRange(start, end, state));
            model.Add((start, end, state));
        }
    }

    // Ranges of all sizes that begin and end at, before and behind the borders of leaves and nodes.
    private static (ulong Start, ulong End) Range(Random random)
    {
        ulong unit = random.Next(4) switch { 0 => Page, 1 => Leaf, 2 => Gigabyte, _ => Gigabyte << 9 };
        ulong start = Near(random, unit * (ulong)random.Next(1, 5));
        ulong end = Near(random, start + (unit * (ulong)random.Next(1, 4)));
        return start < end ? (start, end) : (start, start + Page);
    }

    private static ulong Near(Random random, ulong border) => (border + (Page * (ulong)random.Next(3)) - Page) / Page * Page;

    private static ulong Probe(Random random, List<(ulong Start, ulong End, PageState State)> model)
    {
        (ulong start, ulong end, _) = model[random.Next(model.Count)];
        return random.Next(5) switch
        {
            0 => start,
            1 => end - Page,
            2 => end,
            3 => start - Page,
            _ => start + ((end - start) / 2 / Page * Page),
        };
    }

    private static PageState Expected(List<(ulong Start, ulong End, PageState State)> model, ulong at) =>
        model.LastOrDefault(it => at >= it.Start && at < it.End).State;
}
