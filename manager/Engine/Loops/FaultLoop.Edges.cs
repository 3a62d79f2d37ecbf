using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>What a client gives back, and its edges: huge pages of which it is a part.</content>
internal sealed partial class FaultLoop
{
    // The kernel frees whole pages, and fills what lies at the edges of a hole (madvise(MADV_REMOVE) of shared memory) with zeros itself, protected or not, without a fault: such a page has
    // changed. Which advice it was the event does not tell.
    private void NoteEdges(Session session, Region region, ulong start, ulong end)
    {
        session.Removals.Add(start, end, MonotonicClock.NowNanoseconds);
        if (!region.IsHuge)
        {
            return;
        }

        NoteEdge(session, region, start);
        NoteEdge(session, region, end);
    }

    private void NoteEdge(Session session, Region region, ulong edge)
    {
        ulong page = PageSize.AlignDown(edge, region.PageBytes);
        if (page == edge)
        {
            return;
        }

        session.Snapshot?.RangeChanges(page, page + region.PageBytes, "emptied a part of");
        if (region.IsTracked && !TryNoteDirty(session, page, page + region.PageBytes))
        {
            Kill(session, page, "the manager has no memory to note which pages change");
        }
    }
}
