using UffdManager.Engine.Snapshots;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>How protecting everything comes to its end while writers go on.</summary>
public sealed class LiftedPagesTests : IDisposable
{
    // 64 GiB.
    private const long Pages = 1L << 24;

    private readonly LiftedPages _lifted = new();

    public LiftedPagesTests() => Assert.True(_lifted.TryReserve(Pages));

    [Fact]
    public void Rounds_over_fewer_and_fewer_pages_go_on_until_few_are_left()
    {
        foreach (int count in (int[])[1000, 500, 100])
        {
            Add(count);
            _lifted.BeginRound(7);
            Assert.Equal(0, _lifted.HoldingSince);
            Assert.Equal(count, ProtectAll().Count);
        }

        Add(64);
        _lifted.BeginRound(8);
        Assert.Equal(8, _lifted.HoldingSince);
        Assert.False(_lifted.TryAdd(1));
        Assert.Equal(64, ProtectAll().Count);
        Assert.True(_lifted.IsEmpty);
    }

    [Fact]
    public void Round_that_is_not_shorter_than_the_one_before_lets_nobody_go()
    {
        Add(300);
        _lifted.BeginRound(1);
        ProtectAll();
        Add(300);
        Assert.Equal(0, _lifted.HoldingSince);
        _lifted.BeginRound(2);
        Assert.Equal(2, _lifted.HoldingSince);
        Assert.Equal(300, _lifted.Count);
    }

    [Fact]
    public void Rounds_end_even_if_each_is_a_little_shorter()
    {
        int count = 20_000;
        for (int round = 1; _lifted.HoldingSince == 0; round++)
        {
            Assert.True(round <= 16, "there is no end");
            Add(count--);
            _lifted.BeginRound(round);
            ProtectAll();
        }

        Assert.Equal(16, _lifted.Rounds);
    }

    [Fact]
    public void Round_goes_over_all_numbers_once_and_what_is_noted_behind_it_is_for_the_next()
    {
        Add(200);
        _lifted.BeginRound(1);
        for (int page = 0; page < 150; page++)
        {
            Assert.True(_lifted.TryNext(out long next));
            Assert.Equal(page, next);
            _lifted.Drop(next);
        }

        Assert.True(_lifted.TryAdd(3));
        Assert.True(_lifted.TryAdd(190));
        Assert.True(_lifted.TryAdd(777));
        _lifted.BeginRound(2);
        Assert.Equal(1, _lifted.Rounds);
        Assert.Equal([.. Enumerable.Range(150, 50).Select(page => (long)page), 777], ProtectAll());
        Assert.False(_lifted.IsEmpty);
        _lifted.BeginRound(3);
        Assert.Equal(2, _lifted.Rounds);
        Assert.Equal([3], ProtectAll());
    }

    [Fact]
    public void Page_that_is_not_protected_again_yet_is_come_to_once_more()
    {
        Add(2);
        _lifted.BeginRound(1);
        Assert.True(_lifted.TryNext(out _));
        Assert.Equal([0, 1], ProtectAll());
    }

    [Fact]
    public void Page_is_noted_once_however_often_it_is_written()
    {
        for (int i = 0; i < 3; i++)
            Assert.True(_lifted.TryAdd(4711));
        Assert.Equal(1, _lifted.Count);
        Assert.True(_lifted.Contains(4711));
        Assert.False(_lifted.Contains(4712));
        Assert.False(_lifted.Contains(Pages * 2));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(997)]
    [InlineData(4096)]
    [InlineData(5_000_011)]
    public void There_is_room_for_every_page_of_the_memory(int step)
    {
        Assert.InRange(_lifted.Bytes, 2UL << 20, (2UL << 20) + (64UL << 10));
        List<long> wanted = [];
        for (long page = Pages - 1; page >= Math.Max(0, Pages - (100_000L * step)); page -= step)
            wanted.Add(page);
        foreach (long page in wanted)
            Assert.True(_lifted.TryAdd(page));
        Assert.Equal(wanted.Count, _lifted.Count);
        _lifted.BeginRound(1);
        wanted.Reverse();
        Assert.Equal(wanted, ProtectAll());
        Assert.True(_lifted.IsEmpty);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(64)]
    [InlineData(4095)]
    [InlineData(4096)]
    [InlineData(4097)]
    public void Last_page_is_found_wherever_the_memory_ends(long pages)
    {
        Assert.True(_lifted.TryReserve(pages));
        Assert.True(_lifted.TryAdd(pages - 1));
        _lifted.BeginRound(1);
        Assert.Equal([pages - 1], ProtectAll());
        Assert.Empty(ProtectAll());
    }

    // 1 MiB of base pages each, as long as there are many in it.
    [Theory]
    [InlineData(1, 100_000, 391)]
    [InlineData(5, 100_000, 1_954)]
    [InlineData(36, 10_000, 1_250)]
    [InlineData(37, 7_000, 7_000)]
    [InlineData(5_000, 1_000, 1_000)]
    public void Many_pages_near_each_other_are_protected_in_one_go(int step, int count, int wanted)
    {
        for (long page = 0; page < (long)step * count; page += step)
            Assert.True(_lifted.TryAdd(page + 3));
        _lifted.BeginRound(1);
        int protections = 0;
        while (_lifted.TryNext(out long page))
        {
            protections++;
            for (long end = _lifted.EndOfStretch(page, page + 256); page < end; page++)
                _lifted.Drop(page);
        }

        Assert.True(_lifted.IsEmpty);
        Assert.InRange(protections, 1, wanted + 8);
    }

    [Fact]
    public void Stretch_ends_before_its_end_and_with_the_last_page_that_is_noted()
    {
        foreach (long page in (long[])[60, 61, 63, 70, 71, 72, 73, 90, 127, 128, 129, 200])
            Assert.True(_lifted.TryAdd(page));
        Assert.Equal(130, _lifted.EndOfStretch(60, 200));
        Assert.Equal(201, _lifted.EndOfStretch(60, 201));
        Assert.Equal(128, _lifted.EndOfStretch(60, 128));
        Assert.Equal(91, _lifted.EndOfStretch(60, 127));

        // Seven are few.
        Assert.Equal(62, _lifted.EndOfStretch(60, 90));
        Assert.Equal(130, _lifted.EndOfStretch(127, 256));
        Assert.Equal(201, _lifted.EndOfStretch(200, 256));
        Assert.True(_lifted.TryAdd(Pages - 1));
        Assert.Equal(Pages, _lifted.EndOfStretch(Pages - 1, Pages + 255));
    }

    [Fact]
    public void What_is_noted_in_any_order_is_what_a_set_would_have()
    {
        Random random = new(5);
        SortedSet<long> model = [];
        for (int round = 1; round <= 12; round++)
        {
            for (int i = 0; i < 4000 / round; i++)
            {
                long page = random.NextInt64(round % 2 == 0 ? 20_000 : Pages);
                Assert.True(_lifted.TryAdd(page));
                model.Add(page);
            }

            Assert.Equal(model.Count, _lifted.Count);
            _lifted.BeginRound(round);
            Assert.Equal(model, ProtectAll());
            model.Clear();
        }
    }

    [Fact]
    public void Room_that_is_made_anew_has_nothing_noted()
    {
        Add(100);
        _lifted.BeginRound(1);
        Assert.True(_lifted.TryReserve(Pages / 2));
        Assert.True(_lifted.IsEmpty);
        Assert.InRange(_lifted.Bytes, 1UL << 20, (1UL << 20) + (64UL << 10));
        Add(1000);
        _lifted.BeginRound(2);
        Assert.Equal(0, _lifted.HoldingSince);
        Assert.Equal(1000, ProtectAll().Count);
    }

    [Fact]
    public void Memory_that_cannot_be_had_is_told() => Assert.False(_lifted.TryReserve(1L << 60));

    public void Dispose() => _lifted.Dispose();

    private void Add(int count)
    {
        for (int page = 0; page < count; page++)
            Assert.True(_lifted.TryAdd(page));
    }

    // What is left of the round.
    private List<long> ProtectAll()
    {
        List<long> pages = [];
        while (_lifted.TryNext(out long page))
        {
            pages.Add(page);
            _lifted.Drop(page);
        }

        return pages;
    }
}
