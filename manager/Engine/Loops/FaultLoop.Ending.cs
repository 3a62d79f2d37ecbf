using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>The end of a session whose process lives on.</content>
internal sealed partial class FaultLoop
{
    /// <summary>Ends a session in the given way; null to be tried again.</summary>
    /// <remarks>
    /// A thread of the client may be in the middle of a madvise, munmap, mremap or fork. Its event is queued, or is about to be, and the thread sleeps
    /// until somebody reads it; where the client's side holds a duplicate of the userfaultfd, nobody would, ever. It has raised mmap_changing while it
    /// held the lock of the address space under which it saw the range registered. So once every range is unregistered and mmap_changing is
    /// seen low after that, no event is outstanding and none can come.
    /// </remarks>
    public EngineResult? TryEnd(Session session, EndMode mode, bool last)
    {
        if (session.State == SessionState.Ended)
        {
            return s_over;
        }

        if (mode == EndMode.Kill)
        {
            Kill(session, 0, "its end was asked for by the operator");
            return EngineResult.Success;
        }

        if (session.State == SessionState.Serving)
        {
            Pump(session);
            if (session.State == SessionState.Ended)
            {
                return s_over;
            }
        }

        if (!session.IsLetGo && !last && (session.Displaced.Exists(range => range.Aside != 0) || Userfaultfd.IsChanging(session.Lease)))
        {
            // What is under way may bring a range that is not complete, or one of which nobody knows yet where it is.
            return null;
        }

        if (session.IsLetGo || IsComplete(session, mode))
        {
            // From here on there is no way back: what the client removes now reads as zeros whatever is found out later.
            session.IsLetGo = true;
            foreach (Region region in session.Regions.All)
            {
                _ = Userfaultfd.Unregister(session.Uffd, region.Start, region.Length);
            }

            if (!last && Userfaultfd.IsChanging(session.Lease))
            {
                return null;
            }

            End(session, mode == EndMode.Bye ? SessionEndReason.Bye : SessionEndReason.Released);
            return EngineResult.Success;
        }

        if (mode == EndMode.Bye)
        {
            return new EngineResult(new EngineError(EngineErrorKind.State, Errno.EBUSY, "pages are missing that only the source has: prefetch or unregister their ranges first"));
        }

        if (session.HasKeeper)
        {
            End(session, SessionEndReason.LeftToKeeper);
        }
        else
        {
            Kill(session, 0, "the manager stops, and nobody else holds its userfaultfd: missing pages would read as zeros");
        }

        return EngineResult.Success;
    }

    // Whether the kernel alone would give every fault to come what we would give it.
    private static bool IsComplete(Session session, EndMode mode)
    {
        foreach (Region region in session.Regions.All)
        {
            if (region.Image is null && region.Source.IsZero)
            {
                continue;
            }

            // Who says goodbye knows that it gives nothing back any more; who is left by its manager does not.
            if (mode == EndMode.Stop && (region.Image is null ? (region.Flags & RegionFlags.RemoveMeansSource) != 0 : !region.Image.CanFill))
            {
                return false;
            }

            ulong cursor = region.Start;
            while (session.Pages.NextRun(cursor, region.End, out ulong stop, out PageState state))
            {
                if ((state & PageState.StateMask) is not (PageState.Present or PageState.Removed))
                {
                    return false;
                }

                cursor = stop;
            }
        }

        return session.State is not (SessionState.Adopting or SessionState.Condemned);
    }
}
