using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>
/// A snapshot while it is taken: which pages of the client must not change yet. Belongs to the session's fault loop, but for what says otherwise.
/// </summary>
/// <remarks>
/// <para><b>One instant.</b> The ranges of a session cannot be protected by one call, and its threads run on meanwhile. A writer that meets the protection is let go and its page noted,
/// to be protected once more (<see cref="LiftedPages"/>). Let T be a moment at which everything has been protected and no page is noted. A page that is there at T was protected at some
/// time before, the last time after its last writer was let go, and nobody has written it since: UFFDIO_WRITEPROTECT returns after no processor can write by an old translation any more, the pages that came
/// since were installed protected, and a range that moved or came meanwhile makes the protection begin anew. So what is in memory now is what was in it at
/// T, for all pages at once. After T a page is let go only when it has been read.</para>
/// <para><b>What is not seen</b>: writes of devices that had pages pinned for writing before, and of other processes that share the memory.</para>
/// <para><b>Order.</b> That a page has been read is noted here by a command on the loop, when no change of the client's address space is under way, and behind it the page is
/// let go. Events of the client are applied on the same loop. So either the loop took a change in first and finds the page unread, which ends the snapshot, or the change
/// began after the page was read. (An unmap is told of after the fact: only that it is under way is known before.) A page that the loop reads itself (<see cref="PageSaver"/>) is noted in
/// the same way, right behind the read.</para>
/// </remarks>
internal sealed class Snapshot : IDisposable
{
    // Some 20 us where all of it is there.
    private const ulong Slice = 1UL << 20;

    private readonly AutoResetEvent _signal = new(initialState: false);
    private EngineError? _failure;
    private readonly TaskCompletionSource _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _isWaiting;
    private int _isReleasing;
    private ulong _turn;
    private bool _isTold;

    public Snapshot(Session session, PresenceMap presence, SnapshotProgress progress)
    {
        Session = session;
        Presence = presence;
        Progress = progress;
        Guard = new StallGuard(this);
    }

    public Session Session { get; }

    public PresenceMap Presence { get; }

    public SnapshotProgress Progress { get; }

    /// <summary>Pages that writers wait for. Written by the loop, and after the instant read by the reader.</summary>
    public PageRing Urgent { get; } = new();

    /// <summary>Pages that the loop has read.</summary>
    public required PageSaver Saver { get; init; }

    /// <summary>Who saves which page. Since the instant; any thread.</summary>
    public PageClaims Claims { get; private set; } = null!;

    /// <summary>Of the instant, by address; before it, as they were when all of them had been registered. Since the instant; any thread.</summary>
    public FrozenRegions Regions { get; private set; } = new([]);

    /// <summary>Which of their pages have been read, as far as the loop has noted it. Belongs to the loop.</summary>
    public ReadPages Read { get; private set; } = null!;

    /// <summary>Where in the image they lie; null before that was asked for. Any thread.</summary>
    public FrozenLayout? Layout { get; private set; }

    /// <summary>The instant, monotonic nanoseconds; 0 before.</summary>
    public long TakenAt { get; private set; }

    /// <summary>Everything below has been read, and let go. Belongs to the loop.</summary>
    public ulong ReadBelow { get; private set; }

    /// <summary>Everything below has been read, by the reader's account. Any thread.</summary>
    public ulong Turn => Volatile.Read(ref _turn);

    /// <summary>Who waits.</summary>
    public StallGuard Guard { get; }

    /// <summary>Reads of the client's memory. Outlives the snapshot where it has to. The same since the loop has begun with it.</summary>
    public required ClientReads Reads { get; set; }

    /// <summary>How long writers may wait without anything being saved, nanoseconds.</summary>
    public required long StallLimit { get; init; }

    /// <summary>Whether nothing is left to be let go: all was read, and no change of memory turned up until then. Or it has come to nothing.</summary>
    public bool IsLetGo => Failure is not null || TakenAt == 0 || ReadBelow >= Regions.End;

    /// <summary>Whether it is not the session's any more, or has come to nothing: then commands that were put off must not touch it. Belongs to the loop.</summary>
    public bool IsOver => Failure is not null || Session.Snapshot != this;

    /// <summary>When letting everything go was begun, monotonic nanoseconds; 0 before.</summary>
    public long ThawBegan { get; set; }

    /// <summary>Why it came to nothing; null so far. Any thread.</summary>
    public EngineError? Failure => Volatile.Read(ref _failure);

    /// <summary>Completes when it has come to nothing.</summary>
    public Task Failed => _failed.Task;

    /// <summary>The state of arming.</summary>
    public ulong ArmCursor { get; set; }

    public bool IsRegistered { get; set; }

    /// <summary>What was found while everything is being registered.</summary>
    public List<FrozenRegion> Found { get; } = [];

    public int ArmVersion { get; set; }

    /// <summary>Whether what was found out of the regions still holds: what can come into them without a fault depends on whether the kernel tells where pages are.</summary>
    public bool IsPreparedFor(int version) => ArmVersion == version && _isTold == Presence.Tells;

    public int ArmRestarts { get; set; }

    public long ArmBegan { get; set; }

    /// <summary>What has to be protected once more before the instant.</summary>
    public LiftedPages Lifted { get; } = new();

    /// <summary>Ends it, for the first reason that is given. Any thread.</summary>
    public void Fail(EngineErrorKind kind, Errno errno, string text) => Fail(new EngineError(kind, errno, text));

    /// <summary>As the other overload.</summary>
    public void Fail(EngineError error)
    {
        _ = Interlocked.CompareExchange(ref _failure, error, null);
        _failed.TrySetResult();
        Signal();
    }

    /// <summary>
    /// Everything is registered: takes the regions, and the memory for what is to be noted of their pages, as long as nothing is protected and nobody waits.
    /// </summary>
    /// <param name="regions">By address, numbered one behind the other.</param>
    /// <returns>False when there is no memory.</returns>
    public bool TryPrepare(FrozenRegion[] regions)
    {
        (Regions, _isTold) = (new FrozenRegions(regions), Presence.Tells);
        GiveMemoryBack();
        try
        {
            long pages = Math.Max(1, Regions.Pages);
            Read = new ReadPages(pages);
            Claims = new PageClaims(pages);
            return Lifted.TryReserve(pages);
        }
        catch (SyscallException)
        {
            return false;
        }
    }

    /// <summary>This is the instant.</summary>
    public void Take(long now)
    {
        TakenAt = now;
        Guard.NoteProgress(now);
        Progress.Taken(now, Regions.Pages * PageSize.Base, now - ArmBegan, Lifted.HoldingSince == 0 ? 0 : now - Lifted.HoldingSince);
    }

    /// <summary>Lays the regions of the instant out in the image: takes some time where they are many, so not for the loop. Before anything is read.</summary>
    public FrozenLayout LayOut() => Layout = FrozenLayout.Of(Regions);

    /// <summary>Everything has to be protected anew, because it has moved meanwhile.</summary>
    public void BeginAgain()
    {
        (IsRegistered, ArmCursor) = (false, 0);
        ArmRestarts++;
    }

    /// <summary>Whether the writer of a protected page may go on because the page will be protected once more before the instant: that is seen to.</summary>
    /// <remarks>What lies in none of the regions came after they had been registered. Everything is protected anew then, as what lies above the cursor is in any case.</remarks>
    public bool TryLetGo(ulong page) => TakenAt == 0 && Lifted.HoldingSince == 0
        && (!IsRegistered || page >= ArmCursor || Regions.Find(page) is not FrozenRegion region || Lifted.TryAdd(region.PageIndexOf(page)));

    /// <summary>Whether a page must not change yet.</summary>
    public bool Holds(ulong page) => TakenAt == 0 || (page >= ReadBelow && Regions.Find(page) is FrozenRegion region && !Read.Has(region, page));

    /// <summary>Whether some page of a range may have to be held. True may be wrong, false is not.</summary>
    public bool MayHold(ulong end) => TakenAt == 0 || end > ReadBelow;

    /// <summary>Whether some page of a range must not change yet.</summary>
    public bool HoldsAny(ulong start, ulong end)
    {
        if (TakenAt == 0)
        {
            return false;
        }

        for (int index = Regions.FirstAbove(Math.Max(start, ReadBelow)); index < Regions.Count && Regions[index].Start < end; index++)
        {
            FrozenRegion region = Regions[index];
            ulong from = Math.Max(Math.Max(start, region.Start), ReadBelow);
            ulong to = Math.Min(end, region.End);
            if (from < to && Read.Skip(region, from, to) < to)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Notes that a page was read out of its turn.</summary>
    public void NoteRead(FrozenRegion region, ulong page, long now)
    {
        Guard.NoteProgress(now);
        Read.Note(region, page);
    }

    /// <summary>Notes that everything below an address was read.</summary>
    public void NoteReadBelow(ulong address, long now)
    {
        Guard.NoteProgress(now);
        ReadBelow = address;
    }

    /// <summary>The reader has come to an address. True when a command has to be posted that lets go what is below.</summary>
    public bool Publish(ulong turn)
    {
        Volatile.Write(ref _turn, turn);
        return Interlocked.Exchange(ref _isReleasing, 1) == 0;
    }

    /// <summary>Up to where to let go at a time: within one region, and not beyond the turn.</summary>
    public ulong EndOfSlice(ulong start, ulong turn)
    {
        int index = Regions.FirstAbove(start);
        if (index == Regions.Count || Regions[index].Start >= turn)
        {
            return turn;
        }

        ulong from = Math.Max(start, Regions[index].Start);
        ulong slice = Math.Max(Slice, Regions[index].PageBytes);
        return Math.Min(Math.Min(turn, Regions[index].End), PageSize.AlignDown(from, slice) + slice);
    }

    /// <summary>That command has let everything go. False when it has to go on, because there is more by now.</summary>
    public bool TryRest()
    {
        Interlocked.Exchange(ref _isReleasing, 0);
        return Turn <= ReadBelow || Interlocked.Exchange(ref _isReleasing, 1) != 0;
    }

    /// <summary>A writer waits for a page to be saved.</summary>
    public void Hold(ulong page, long now)
    {
        Guard.Await(page, now, isInTurn: !Urgent.TryAdd(page));
        CallReader();
    }

    /// <summary>There is work for the reader, which may wait for the file.</summary>
    public void CallReader()
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _isWaiting) != 0)
        {
            Signal();
        }
    }

    /// <summary>The client takes pages back, moves or unmaps them. Any contents that were not read are lost.</summary>
    public void RangeChanges(ulong start, ulong end, string how)
    {
        if (HoldsAny(start, end))
        {
            Fail(EngineErrorKind.State, Errno.ECANCELED, $"the client {how} 0x{start:x}+0x{end - start:x} before it was saved");
        }
    }

    /// <summary>Wakes the reader. Any thread.</summary>
    public void Signal()
    {
        try
        {
            _signal.Set();
        }
        catch (ObjectDisposedException)
        {
            // Whoever cancels may come too late.
        }
    }

    /// <summary>Waits for a buffer, a writer or the end; for the reader.</summary>
    public void Wait(bool hasUrgentBuffer)
    {
        Volatile.Write(ref _isWaiting, 1);
        Interlocked.MemoryBarrier();
        if (Failure is null && !(hasUrgentBuffer && (!Urgent.IsEmpty || Saver.Count >= Saver.Half)))
        {
            _signal.WaitOne();
        }

        Volatile.Write(ref _isWaiting, 0);
    }

    /// <summary>As <see cref="Wait"/>, told as time in which the snapshot was held up.</summary>
    public void WaitThrottled(bool hasUrgentBuffer)
    {
        long began = MonotonicClock.NowNanoseconds;
        Wait(hasUrgentBuffer);
        Progress.Throttled(MonotonicClock.NowNanoseconds - began);
    }

    /// <summary>Neither loop nor threads may use it any more.</summary>
    public void Dispose()
    {
        _signal.Dispose();
        Saver.Dispose();
        Lifted.Dispose();
        GiveMemoryBack();
    }

    private void GiveMemoryBack()
    {
        Claims?.Dispose();
        Claims = null!;
        Read?.Dispose();
        Read = null!;
    }
}
