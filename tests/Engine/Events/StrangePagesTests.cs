using UffdManager.Engine.Loops;
using Xunit;

namespace UffdManager.Engine.Tests.Events;

/// <summary>When a page that faults where nothing is known has done so for long enough.</summary>
public sealed class StrangePagesTests
{
    private const long Millisecond = 1_000_000;
    private const long Patience = 10_000 * Millisecond;

    private readonly StrangePages _pages = new();

    [Fact]
    public void Page_that_comes_back_at_once_for_as_long_as_the_patience_lasts_has_proved_it()
    {
        long now = 0;
        while (!_pages.Note(4096, now + 1, now + (2 * Millisecond), Patience))
            now += 2 * Millisecond;
        Assert.InRange(now, Patience, Patience + (4 * Millisecond));
    }

    [Fact]
    public void Page_that_is_met_now_and_then_never_has()
    {
        for (long now = 0; now < 100 * Patience; now += 300 * Millisecond)
            Assert.False(_pages.Note(4096, now, now, Patience));
    }

    [Fact]
    public void Few_looks_prove_nothing_however_long_they_took()
    {
        long now = 0;
        for (int i = 1; i < 30; i++, now += Patience)
            Assert.False(_pages.Note(4096, now + 1 - Patience, now, Patience));
        Assert.True(_pages.Note(4096, now + 1 - Patience, now, Patience));
    }

    [Fact]
    public void Very_many_pages_that_come_back_by_turns_are_as_good_a_proof()
    {
        // Each is looked at only when all the others were.
        long[] readAt = new long[1000];
        long now = 0;
        bool isProved = false;
        for (int i = 0; !isProved; i++, now += 2 * Millisecond)
        {
            Assert.InRange(now, 0, 100 * Patience);
            int page = i % readAt.Length;
            isProved = _pages.Note((ulong)(page + 1) * 4096, readAt[page], now, Patience);
            readAt[page] = now + 1;
        }

        Assert.InRange(now, Patience, 100 * Patience);
    }

    [Fact]
    public void Pages_that_are_left_alone_make_room_for_others()
    {
        for (ulong page = 1; page <= 64; page++)
            Assert.False(_pages.Note(page * 4096, 0, 0, Patience));
        long now = 2 * Patience;
        while (!_pages.Note(100 * 4096, now + 1, now + (2 * Millisecond), Patience) && now < 10 * Patience)
            now += 2 * Millisecond;
        Assert.InRange(now, 3 * Patience, (3 * Patience) + (10 * Millisecond));
    }
}
