using UffdManager.Engine.Snapshots;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>How protecting everything comes to its end while writers go on.</summary>
public sealed class LiftedPagesTests
{
    private const int Page = 4096;

    [Fact]
    public void Rounds_over_fewer_and_fewer_pages_go_on_until_few_are_left()
    {
        LiftedPages lifted = new();
        foreach (int count in (int[])[1000, 500, 100])
        {
            Add(lifted, count);
            lifted.BeginRound(7);
            Assert.Equal(count, lifted.Left);
            Assert.Equal(0, lifted.HoldingSince);
            lifted.Drop(count);
        }

        Add(lifted, 64);
        lifted.BeginRound(8);
        Assert.Equal(8, lifted.HoldingSince);
        Assert.False(lifted.TryAdd(Page));
        lifted.Drop(64);
        Assert.True(lifted.IsEmpty);
    }

    [Fact]
    public void Round_that_is_not_shorter_than_the_one_before_lets_nobody_go()
    {
        LiftedPages lifted = new();
        Add(lifted, 300);
        lifted.BeginRound(1);
        Add(lifted, 300);
        lifted.Drop(300);
        Assert.Equal(0, lifted.HoldingSince);
        lifted.BeginRound(2);
        Assert.Equal(2, lifted.HoldingSince);
        Assert.Equal(300, lifted.Left);
    }

    [Fact]
    public void Rounds_end_even_if_each_is_a_little_shorter()
    {
        LiftedPages lifted = new();
        int count = LiftedPages.Capacity;
        for (int round = 1; lifted.HoldingSince == 0; round++)
        {
            Assert.True(round <= 16, "there is no end");
            Add(lifted, count);
            lifted.BeginRound(round);
            lifted.Drop(count--);
        }

        Assert.Equal(16, lifted.Rounds);
    }

    [Fact]
    public void Round_is_over_what_was_noted_when_it_began()
    {
        LiftedPages lifted = new();
        Add(lifted, 200);
        lifted.BeginRound(1);
        lifted.Drop(150);
        Assert.True(lifted.TryAdd(777 * Page));
        lifted.BeginRound(2);
        Assert.Equal(1, lifted.Rounds);
        Assert.Equal(50, lifted.Left);
        lifted.Drop(50);
        Assert.False(lifted.IsEmpty);
        lifted.BeginRound(3);
        Assert.Equal(777UL * Page, lifted[0]);
    }

    [Fact]
    public void Who_finds_no_room_waits_until_there_is_some()
    {
        LiftedPages lifted = new();
        Add(lifted, LiftedPages.Capacity);
        Assert.False(lifted.TryAdd(Page));
        lifted.BeginRound(1);
        lifted.Drop(1);
        Assert.True(lifted.TryAdd(Page));
        lifted.Clear();
        Assert.True(lifted.IsEmpty);
        Add(lifted, LiftedPages.Capacity);
    }

    private static void Add(LiftedPages lifted, int count)
    {
        for (int i = 0; i < count; i++)
            Assert.True(lifted.TryAdd((ulong)i * Page));
    }
}
