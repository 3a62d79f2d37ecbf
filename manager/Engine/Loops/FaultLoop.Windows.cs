using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Engine.WorkingSets;

namespace UffdManager.Engine.Loops;

/// <content>How much is fetched or installed for one fault.</content>
internal sealed partial class FaultLoop
{
    private const ulong PluggedBlock = 2 * 1024 * 1024;

    // What is installed with a page, cut to the region and to neighbours that nobody touched.
    private static (ulong Start, int Length) Window(Session session, Region region, ulong page)
    {
        if (region.Policy.Prefetch.Mode == PrefetchMode.Sequential)
        {
            SequentialStreams streams = session.Streams ??= new SequentialStreams();
            ulong ahead = streams.WindowAt(page);
            (ulong Start, int Length) window = ahead > region.PageBytes ? WindowAhead(session, region, page, ahead) : WindowAround(session, region, page);
            streams.Installed(window.Start + (ulong)window.Length);
            return window;
        }

        return WindowAround(session, region, page);
    }

    private static (ulong Start, int Length) WindowAhead(Session session, Region region, ulong page, ulong size)
    {
        PageState alike = session.Pages.Get(page) & PageState.Dirty;

        // Memory is plugged into a guest in blocks of at least this size: a window that went on behind it could fill what nobody may touch.
        ulong block = region.Start + PageSize.AlignDown(page - region.Start, PluggedBlock) + PluggedBlock;
        ulong high = Math.Min(Math.Min(page + size, region.End), block);
        ulong end = page + region.PageBytes;
        while (end < high && session.Pages.Get(end) == alike)
        {
            end += region.PageBytes;
        }

        return (page, (int)(end - page));
    }

    // The aligned window.
    private static (ulong Start, int Length) WindowAround(Session session, Region region, ulong page)
    {
        ulong size = Math.Max((ulong)region.Policy.FaultAroundBytes, region.PageBytes);
        if (size == region.PageBytes)
        {
            return (page, (int)region.PageBytes);
        }

        ulong low = Math.Max(PageSize.AlignDown(page, size), region.Start);
        ulong high = Math.Min(PageSize.AlignDown(page, size) + size, region.End);
        PageState alike = session.Pages.Get(page) & PageState.Dirty;
        ulong start = page;
        while (start > low && session.Pages.Get(start - region.PageBytes) == alike)
        {
            start -= region.PageBytes;
        }

        ulong end = page + region.PageBytes;
        while (end < high && session.Pages.Get(end) == alike)
        {
            end += region.PageBytes;
        }

        return (start, (int)(end - start));
    }
}
