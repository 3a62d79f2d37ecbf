namespace UffdManager.Engine.Loops;

/// <summary>
/// Pages of one session that fault in memory of which nothing is known although it is registered, and come back to fault at once whenever their threads are let go. Belongs to the session's fault loop.
/// </summary>
/// <remarks>
/// What overtakes what between a client that changes its mappings and the manager makes a page look so for a moment, again and again at other pages. One that stays so was registered without the manager.
/// </remarks>
internal sealed class StrangePages
{
    // Beyond these nothing is noted until one of them is left alone: each of the others has to be looked at as often as they.
    private const int Capacity = 64;

    // So many looks at the least, however long they took.
    private const int Looks = 30;

    // A thread that is let go and comes back comes back at once. Who comes later than this was somewhere else meanwhile.
    private const long AtOnce = 250_000_000;

    private readonly List<Entry> _pages = [];

    /// <summary>A look at a page was in vain.</summary>
    /// <param name="page">Its address.</param>
    /// <param name="readAt">When the fault came that was looked into, monotonic nanoseconds.</param>
    /// <param name="now">When the look was over, monotonic nanoseconds.</param>
    /// <param name="patience">How long that may go on, nanoseconds.</param>
    /// <returns>Whether it has gone on for longer.</returns>
    public bool Note(ulong page, long readAt, long now, long patience)
    {
        int index = _pages.FindIndex(entry => entry.Page == page);
        if (index < 0)
        {
            index = _pages.Count < Capacity ? Capacity : _pages.FindIndex(entry => now - entry.Last > patience);
            if (index == Capacity)
            {
                _pages.Add(new Entry(page, now, now, 1));
            }
            else if (index >= 0)
            {
                _pages[index] = new Entry(page, now, now, 1);
            }

            return false;
        }

        Entry before = _pages[index];
        bool hasStayed = readAt - before.Last < AtOnce;
        _pages[index] = hasStayed ? before with { Last = now, Looks = before.Looks + 1 } : new Entry(page, now, now, 1);
        return hasStayed && _pages[index].Looks >= Looks && now - before.Since > patience;
    }

    private readonly record struct Entry(ulong Page, long Since, long Last, int Looks);
}
