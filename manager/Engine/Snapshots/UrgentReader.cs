using UffdManager.Engine.Loops;

namespace UffdManager.Engine.Snapshots;

/// <summary>
/// The pages of a snapshot that come out of their turn, because somebody waits to write them: those that the loop has saved itself, and those that the reader has to read. They share a buffer.
/// For the reader's thread.
/// </summary>
internal sealed class UrgentReader(Snapshot snapshot, ClientMemory memory, bool hasBase, SnapshotBuffers buffers, SnapshotWriter writer)
{
    private const int Page = 4096;
    private const int PerBatch = 64;

    private WriteItem? _item;
    private ulong _postponed;

    /// <summary>Takes over what the loop has saved, up to so many pages.</summary>
    /// <returns>False when no buffer is to be had for it.</returns>
    public bool TakeSaved(int most)
    {
        while (most > 0 && snapshot.Failure is null && !snapshot.Saver.IsEmpty)
        {
            if (_item is null && !TryOpen())
            {
                return false;
            }

            WriteItem item = _item!;
            int at = item.Used;
            if (at + Page > buffers.PieceBytes)
            {
                Submit();
            }
            else if (snapshot.Saver.TryTake(out ulong page, item.Buffer + (nuint)at))
            {
                item.AddPages(at, Page, snapshot.Regions.Find(page)!.OffsetOf(page), hasBase);
                item.Used += Page;
                most--;
            }
        }

        return true;
    }

    /// <summary>Reads pages that somebody waits to write, some at a time.</summary>
    /// <param name="turn">Everything below has been read in its turn.</param>
    /// <returns>False when nobody waits.</returns>
    public bool Save(ulong turn)
    {
        int saved = 0;
        if (!TakeSaved(PerBatch))
        {
            snapshot.WaitThrottled(hasUrgentBuffer: false);
            return true;
        }

        while (saved < PerBatch && snapshot.Failure is null && (_postponed != 0 || !snapshot.Urgent.IsEmpty))
        {
            if (_item is null && !TryOpen())
            {
                snapshot.WaitThrottled(hasUrgentBuffer: false);
                return true;
            }

            ulong page = _postponed;
            if (page == 0)
            {
                _ = snapshot.Urgent.TryTake(out page);
            }

            _postponed = 0;
            if (snapshot.Regions.Find(page) is not FrozenRegion region || page < turn)
            {
                // It has been read, and the command that lets its writers go is on its way.
                continue;
            }

            if (_item!.Used + (int)region.PageBytes > buffers.PieceBytes)
            {
                // Behind pages of another size. Another buffer may have to be waited for.
                _postponed = page;
                Submit();
                continue;
            }

            if (snapshot.Claims.TryClaim(region, page))
            {
                Save(region, page);
                saved++;
            }
        }

        // What was saved waits for company only as long as the file is busy anyway.
        if (_item is not null && writer.IsIdle)
        {
            Submit();
        }

        return saved > 0 || !snapshot.Saver.IsEmpty;
    }

    /// <summary>Hands to the file what has come together.</summary>
    public void Submit()
    {
        if (_item is not null)
        {
            writer.Add(_item);
            _item = null;
        }
    }

    private void Save(FrozenRegion region, ulong page)
    {
        WriteItem item = _item!;
        int length = (int)region.PageBytes;
        int at = item.Used;
        if (!memory.TryRead(region, page, length, item.Buffer + (nuint)at))
        {
            return;
        }

        item.AddPages(at, length, region.OffsetOf(page), hasBase);
        item.Used += length;
        snapshot.Progress.Saved(1);
        snapshot.Session.Loop.Post(new ReleasePageCommand(snapshot, region, page));
        if (item.Used + length > buffers.PieceBytes)
        {
            Submit();
        }
    }

    private bool TryOpen()
    {
        nuint buffer = buffers.TryTake(isUrgent: true);
        _item = buffer == 0 ? null : new WriteItem(buffer);
        return buffer != 0;
    }
}
