using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Notes that pages have changed: when they are set, and when they may be wiped.</content>
/// <remarks>
/// A note is wiped only where every later change sets it anew: by a fault, because the page is protected or not there, or by an event that is still to be read. Of one change neither comes any more: of what an
/// event has told and the kernel has yet to do. It tells before it takes pages away, and its thread goes on when the event has been read (userfaultfd_event_wait_completion of
/// fs/userfaultfd.c); from then on nothing says that memory is about to change, while the old contents are there, can be protected and read. So of what events have told of lately (<see cref="RecentRemovals"/>):
/// <list type="bullet">
/// <item>Where page tables tell what is there (<see cref="PresenceMap.IsSparse"/>), a page that was given back and is found all the same keeps its note for one list more. There is none where the
/// removal is over. (What was freed lazily is found too: that may go at any time.)</item>
/// <item>Elsewhere, in shared memory and at the edges of a hole in huge pages, nothing tells whether it is over: for a second notes stay, and each list of that time protects once more,
/// because a hole that is punched may take the protection along.</item>
/// </list>
/// </remarks>
internal sealed partial class FaultLoop
{
    private static bool IsGivenBack(PageState state) => (state & PageState.StateMask) is PageState.Removed or PageState.Absent;

    // A run of one state that was told has been protected, and counts as unchanged from here on.
    private static bool ForgetTold(Session session, Region region, PresenceMap presence, (ulong Start, ulong End) run, PageState before)
    {
        bool isFound = presence.TellsOf(region, run.Start, run.End);
        ulong cursor = run.Start;
        while ((IsGivenBack(before) || (region.IsHuge && !isFound)) && TryFindRemoval(session, region, isFound, cursor, run.End, out ulong from, out ulong to))
        {
            // What was found there has become present.
            if (!ForgetDirty(session, cursor, from) || (isFound && !ForgetDirty(session, from, to, IsGivenBack)))
            {
                return false;
            }

            cursor = to;
        }

        return ForgetDirty(session, cursor, run.End);
    }

    // A part of a region is about to be protected, as tracking begins: nothing has changed but what an event has told of, and may be yet to come.
    private static bool TryBeginNotes(Session session, Region region, PresenceMap presence, ulong start, ulong end)
    {
        bool isFound = presence.TellsOf(region, start, end);
        ulong cursor = start;
        while (TryFindRemoval(session, region, isFound, cursor, end, out ulong from, out ulong to))
        {
            if (!ForgetDirty(session, cursor, from) || !TryNoteDirty(session, from, to, region.IsHuge && !isFound ? null : IsGivenBack))
            {
                return false;
            }

            cursor = to;
        }

        return ForgetDirty(session, cursor, end);
    }

    // It has been protected: what was not found is not there.
    private static bool TryEndNotes(Session session, Region region, PresenceMap presence, ulong start, ulong end) =>
        !presence.TellsOf(region, start, end) || ForgetDirty(session, start, end, IsGivenBack);

    // The first pages of a part of a region that may be about to change.
    private static bool TryFindRemoval(Session session, Region region, bool isFound, ulong start, ulong end, out ulong from, out ulong to)
    {
        long now = MonotonicClock.NowNanoseconds;
        bool isRecent = session.Removals.TryFind(start, end, now, isFound ? RecentRemovals.Span : RecentRemovals.Second, out from, out to);
        from = Math.Max(PageSize.AlignDown(from, region.PageBytes), start);
        to = Math.Min(PageSize.AlignUp(to, region.PageBytes), end);
        return isRecent;
    }

    private static bool TryNoteDirty(Session session, ulong start, ulong end, Func<PageState, bool>? which = null)
    {
        ulong cursor = start;
        while (session.Pages.NextRun(cursor, end, out ulong stop, out PageState state))
        {
            if ((state & PageState.Dirty) == 0 && which?.Invoke(state) != false && !session.Pages.TrySetRange(cursor, stop, state | PageState.Dirty))
            {
                return false;
            }

            cursor = stop;
        }

        return true;
    }

    private static bool ForgetDirty(Session session, ulong start, ulong end, Func<PageState, bool>? which = null)
    {
        ulong cursor = start;
        while (session.Pages.NextRun(cursor, end, out ulong stop, out PageState state))
        {
            if ((state & PageState.Dirty) != 0 && which?.Invoke(state) != false && !session.Pages.TrySetRange(cursor, stop, state & ~PageState.Dirty))
            {
                return false;
            }

            cursor = stop;
        }

        return true;
    }

    // A page was there and is missing, so that it is about to have other contents. Noted before it has them; true when that was not noted yet.
    private static bool NoteChanged(in FaultContext fault) =>
        fault.Region.IsTracked && (fault.State & PageState.Dirty) == 0 && TryNoteDirty(fault.Session, fault.Region, fault.Page);
}
