using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;

namespace UffdManager.Engine.Fetch;

/// <summary>Where a fetch stands. Written by the fault loop only, except that a worker hands the ticket back through a queue.</summary>
internal enum FetchPhase
{
    /// <summary>In the fetch queue or on a worker.</summary>
    AtWorker,

    /// <summary>Failed, waiting for the next attempt.</summary>
    Backoff,

    /// <summary>The bytes are here, but the kernel refuses to install them until an event is read.</summary>
    Installing,

    /// <summary>The verdict was spoken, or the session ended, while a worker still had it; its bytes go nowhere.</summary>
    Abandoned,
}

/// <summary>
/// One window of pages on its way from a slow source. Owned by the fault loop of its session, which lends it to a worker and gets
/// it back through <see cref="FaultLoop.Complete"/>; nobody else ever touches it. Reused, so that a steady stream of fetches allocates nothing.
/// </summary>
internal sealed class FetchTicket
{
    public Session Session = null!;
    public Region Region = null!;
    public FaultLoop Loop = null!;
    public PageSource Source = null!;
    public SharedImage? Image;
    public PopulateJob? Job;

    /// <summary>What is fetched instead of one range.</summary>
    public ReplayBatch? Batch;
    public ulong Start;
    public int Length;
    public long Offset;
    public FetchPhase Phase;
    public int Attempts;

    /// <summary>Read time of the fault that started it; monotonic nanoseconds.</summary>
    public long ReadAt;

    /// <summary>When it entered the fetch queue; monotonic nanoseconds.</summary>
    public long QueuedAt;

    /// <summary>When a worker took it.</summary>
    public long StartedAt;

    /// <summary>When the verdict falls, in the time in which the loop has turned; <see cref="long.MaxValue"/> for none.</summary>
    public long Deadline;

    /// <summary>When to go on, in the phases Backoff and Installing.</summary>
    public long DueAt;

    /// <summary>Native buffer from the loop's pool, 0 for none.</summary>
    public nuint Buffer;

    public int BufferBytes;

    /// <summary>Whether the operator knows already that it waits for a huge page.</summary>
    public bool PoolExhaustionTold;

    // Written by the worker, read by the loop after the hand-back.
    public Errno Result;
    public SourcePages Pages;

    /// <summary>Bytes at the beginning that were left out, because the source has zeros there.</summary>
    public int LeftOut;

    public Policy Policy => Region.Policy;

    /// <summary>Whether it was issued for pages that nobody waited for.</summary>
    public bool IsAhead => Job is not null;

    public TenantUsage Usage => Session.Tenant.Usage;

    public ulong End => Start + (ulong)Length;

    public int PageCount => Length / PageSize.Base;

    /// <summary>Brings what it is for, on a fetch thread.</summary>
    public Errno Fetch()
    {
        LeftOut = 0;
        if (Batch is ReplayBatch batch)
        {
            return batch.Fetch(Source, Buffer, Session.Tenant);
        }

        return Job is { LeavesZerosOut: true } && Image is null
            ? FetchData()
            : Source.Fetch(Offset, Length, Buffer, Session.Tenant, out Pages);
    }

    // The first piece that is not zeros.
    private Errno FetchData()
    {
        (long start, long end) = Source.FindData(Offset, Length);
        long page = (long)Region.PageBytes;
        LeftOut = (int)((start - Offset) / page * page);
        if (LeftOut >= Length)
        {
            Pages = default;
            return Errno.OK;
        }

        long stop = Math.Min((end - Offset + page - 1) / page * page, Length);
        return Source.Fetch(Offset + LeftOut, (int)(stop - LeftOut), Buffer, Session.Tenant, out Pages);
    }

    /// <summary>Gives the bytes back when they have been taken to where they are wanted; how many there were stays known. On the loop.</summary>
    public void ReleaseBytes()
    {
        Source.Release(in Pages);
        Pages = Pages with { Pin = 0 };
    }

    /// <summary>Gives back what the last attempt brought. On the loop, while no worker has the ticket.</summary>
    public void ReleasePages()
    {
        Batch?.Release(Source);
        Source.Release(in Pages);
        Pages = default;
    }
}
