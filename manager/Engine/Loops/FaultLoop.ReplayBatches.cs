using UffdManager.Engine.Fetch;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.WorkingSets;

namespace UffdManager.Engine.Loops;

/// <content>Scattered pieces of a plan on their way together: asked for here, and installed here, if nobody was quicker.</content>
internal sealed partial class FaultLoop
{
    // Pieces of one slice: some 60 us when each is a page of its own.
    private const int SlicePieces = 32;

    // 10 KiB each.
    private const int MostSpareBatches = 64;

    private readonly Stack<ReplayBatch> _spareBatches = new();

    // Pieces of the plan that nobody has touched meanwhile, until they are worth a hand-over to a fetch thread.
    private bool IssueBatch(PopulateJob job, Replay replay)
    {
        Session session = job.Session;
        WorkingSetRun run = replay.Run;
        int most = Math.Min(run.Policy.MaximumPagesInFlight, TenantUsage.AheadOf(session.Tenant.Limits.PagesInFlight));
        long room = Math.Min(FetchBytes, ((long)most - run.PagesInFlight) * PageSize.Base);
        if (room < (long)replay.Region.PageBytes && run.PagesInFlight > 0)
        {
            return false;
        }

        ReplayBatch batch = replay.Waiting ?? Collect(session, replay, room);
        replay.Waiting = null;

        // What waited may have lost its region meanwhile, and with it the source.
        if (batch.Count == 0 || RegionAt(session, replay, batch.AddressOf(0)) is null)
        {
            Keep(batch);
            return true;
        }

        if (TryIssue(job, replay, batch))
        {
            return true;
        }

        // The tenant has as much in flight as it may.
        replay.Waiting = batch;
        job.DueAt = _now + FirstScarcityBackoff;
        return false;
    }

    private ReplayBatch Collect(Session session, Replay replay, long room)
    {
        ReplayBatch batch = _spareBatches.TryPop(out ReplayBatch? spare) ? spare : new ReplayBatch();
        batch.Clear(replay.Run.BatchPieces);
        for (int looked = 0; looked < SlicePieces * 8 && !batch.IsFull && (batch.Bytes == 0 || batch.Bytes + (long)replay.Region.PageBytes <= room)
            && replay.TryTake(room - batch.Bytes, out ulong address, out long offset, out int length); looked++)
        {
            AddAbsent(session, replay, batch, address, offset, length);
        }

        return batch;
    }

    private static void AddAbsent(Session session, Replay replay, ReplayBatch batch, ulong address, long offset, int length)
    {
        ulong cursor = address;
        ulong end = address + (ulong)length;
        while (cursor < end && !batch.IsFull && session.Pages.NextRun(cursor, end, out ulong stop, out PageState state))
        {
            Region? region = RegionOf(session, replay.Region, cursor, ref stop);
            if (IsAbsent(state) && region is not null)
            {
                batch.Add(cursor, offset + (long)(cursor - address), (int)(stop - cursor));
            }

            cursor = stop;
        }

        // There is no room for more pieces.
        replay.PutBack((long)(end - cursor));
    }

    // In a range that came while its session is tracked, what nobody has touched is noted as new.
    private static bool IsAbsent(PageState state) => (state & ~PageState.Dirty) == PageState.Absent;

    private static Region? RegionAt(Session session, Replay replay, ulong address)
    {
        ulong stop = address + replay.Region.PageBytes;
        return RegionOf(session, replay.Region, address, ref stop);
    }

    private bool TryIssue(PopulateJob job, Replay replay, ReplayBatch batch)
    {
        Session session = job.Session;
        TenantLimits limits = session.Tenant.Limits;
        int pages = batch.Bytes / PageSize.Base;
        if (!session.Tenant.Usage.TryAddFetchAhead(pages, limits))
        {
            return false;
        }

        nuint buffer = _buffers.TryRent(batch.Bytes, out int capacity);
        if (buffer == 0)
        {
            session.Tenant.Usage.RemoveFetch(pages);
            return false;
        }

        FetchTicket ticket = TakeTicket(session, replay.Region, replay.Region.Source, buffer, capacity);
        ticket.Job = job;
        ticket.Batch = batch;

        // It stands for no range: no address lies in this one.
        ticket.Start = ulong.MaxValue - (ulong)batch.Bytes;
        ticket.Length = batch.Bytes;
        job.FetchesInFlight++;
        replay.Run.PagesInFlight += pages;
        replay.Run.BatchIssued();
        Submit(ticket);
        return true;
    }

    // One slice of what a batch brought. Everything may have changed since it was asked for; nothing can between the look and the copy.
    private bool InstallBatch(PopulateJob job, Replay replay, FetchTicket ticket, ReplayBatch batch)
    {
        int budget = SliceBytes;
        for (int pieces = 0; batch.Next < batch.Count && budget > 0 && pieces < SlicePieces; pieces++)
        {
            SourcePages pages = batch.PagesOf(batch.Next);
            int whole = pages.Length / (int)replay.Region.PageBytes * (int)replay.Region.PageBytes;
            ulong cursor = batch.AddressOf(batch.Next) + (ulong)batch.Done;
            if (batch.Done >= whole || !job.Session.Pages.NextRun(cursor, batch.AddressOf(batch.Next) + (ulong)whole, out ulong stop, out PageState state))
            {
                batch.Next++;
                batch.Done = 0;
                continue;
            }

            Region? region = RegionOf(job.Session, replay.Region, cursor, ref stop);
            if (region is null || !IsAbsent(state))
            {
                batch.Done += (int)(stop - cursor);
                continue;
            }

            ulong length = Math.Min(stop - cursor, PageSize.AlignUp((ulong)budget, region.PageBytes));
            nuint from = batch.IsZero(batch.Next) ? 0 : pages.Address + (nuint)batch.Done;
            int advanced = InstallAhead(job, replay.Run, region, cursor, length, from);
            if (advanced == 0)
            {
                ticket.DueAt = job.DueAt;
                return false;
            }

            batch.Done += advanced;
            budget -= advanced;
        }

        if (batch.Next >= batch.Count)
        {
            Remove(ticket);
        }

        return true;
    }

    // Bytes to go on behind; 0 to try again when the job is due.
    private int InstallAhead(PopulateJob job, WorkingSetRun run, Region region, ulong start, ulong length, nuint from)
    {
        Session session = job.Session;
        bool isZero = from == 0;
        nuint address = isZero && (!HasZeroPage(region) || MustProtect(session, region, start + length)) ? _zeros : from;
        InstallOutcome outcome = Fill(session, region, start, start, length, address, CopyMode(session, region, start + length), out ulong installed);
        job.InstalledBytes += installed;
        if (isZero)
        {
            AddZeroed(session, (long)installed);
        }
        else
        {
            AddCopied(session, (long)installed);
        }

        Charge(session, installed);
        CountPrefetched(run, installed);
        switch (outcome)
        {
            case InstallOutcome.AlreadyPresent when region.IsHuge && (session.Pages.Get(start + installed) & PageState.Suspect) != 0:
                // There is nothing there: the pool is empty, and whatever else was planned would be fetched in vain.
                _engine.Publish(new HugePoolExhausted(_now, session, start + installed));
                run.Stop = ReplayStop.Failed;
                return (int)Math.Max(installed, region.PageBytes);
            case InstallOutcome.Installed or InstallOutcome.AlreadyPresent or InstallOutcome.Stale:
                return (int)Math.Max(installed, region.PageBytes);
            case InstallOutcome.Changing:
                job.DueAt = _now + FirstChangingBackoff;
                return installed > 0 ? (int)installed : 0;
            default:
                run.Stop = ReplayStop.Failed;
                return (int)length;
        }
    }

    // Gives back what a batch had of its run; called when its ticket goes.
    private void ReleaseBatch(FetchTicket ticket)
    {
        if (ticket.Batch is ReplayBatch batch)
        {
            ticket.Job!.Replay!.Run.PagesInFlight -= ticket.PageCount;
            ticket.Batch = null;
            Keep(batch);
        }
    }

    private void Keep(ReplayBatch batch)
    {
        if (_spareBatches.Count < MostSpareBatches)
        {
            _spareBatches.Push(batch);
        }
    }
}
