using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>
/// Faults that must be tried again. A timer drives the queue, because no further event need ever come: all threads of the client may be
/// among those that wait.
/// </content>
internal sealed partial class FaultLoop
{
    // The kernel lifts its refusal when the thread behind the event runs again, some 20 us after the event was read.
    private const long FirstChangingBackoff = 30_000;
    private const long MaximumChangingBackoff = 2_000_000;
    private const long FirstScarcityBackoff = 1_000_000;
    private const long MaximumScarcityBackoff = 100_000_000;

    private readonly List<Session> _deferring = [];
    private readonly List<DeferredFault> _due = [];
    private long _nextDeferred = long.MaxValue;

    private void Defer(in FaultContext fault, DeferralReason reason)
    {
        long first = reason is DeferralReason.Changing or DeferralReason.SharedFill ? FirstChangingBackoff : FirstScarcityBackoff;
        long most = reason is DeferralReason.Changing or DeferralReason.SharedFill ? MaximumChangingBackoff : MaximumScarcityBackoff;
        long backoff = Math.Min(first << Math.Min(fault.Attempts, 16), most);
        Defer(fault.Session, fault.Page, fault.Flags, fault.ReadAt, fault.Since, fault.Attempts + 1, reason, MonotonicClock.NowNanoseconds + backoff);
    }

    /// <summary>Puts a fault back of which not even the region is certain. Internal for the tests: what it meets when it is tried again cannot be forced.</summary>
    internal void DeferUncertain(Session session, ulong page, UffdFaultFlags flags, long readAt, int attempts)
    {
        long backoff = Math.Min(FirstChangingBackoff << Math.Min(attempts, 16), MaximumChangingBackoff);
        Defer(session, page, flags, readAt, attempts + 1, DeferralReason.Changing, MonotonicClock.NowNanoseconds + backoff);
    }

    // What it waits for is not its page: its time has not begun.
    private void Defer(Session session, ulong page, UffdFaultFlags flags, long readAt, int attempts, DeferralReason reason, long dueAt) =>
        Defer(session, page, flags, readAt, _turned, attempts, reason, dueAt);

    private void Defer(Session session, ulong page, UffdFaultFlags flags, long readAt, long since, int attempts, DeferralReason reason, long dueAt)
    {
        session.Counters.Deferrals[(int)reason]++;
        session.DeferralCount++;
        PutBack(session, new DeferredFault
        {
            Address = page,
            Flags = flags,
            Reason = reason,
            Attempts = attempts,
            ReadAt = readAt,
            Since = since,
            FetchesEnded = session.Tenant.Usage.FetchesEnded,
            DueAt = dueAt,
        });
    }

    private void PutBack(Session session, in DeferredFault fault)
    {
        if (session.Deferred.Count >= DeferredQueue.Capacity)
        {
            _ = Userfaultfd.Wake(session.Lease, fault.Address, (ulong)PageSize.Base);
            Account(session, KindOf(fault.Flags), FaultOutcome.Stale, fault.ReadAt);
            return;
        }

        // Without memory for the flag the fault is still kept; a duplicate then costs one more entry.
        _ = session.Pages.TrySetPage(fault.Address, PageBytesAt(session, fault.Address), session.Pages.Get(fault.Address) | PageState.Deferred);
        if (!session.IsDeferring)
        {
            session.IsDeferring = true;
            _deferring.Add(session);
        }

        session.Deferred.Add(in fault);
        _nextDeferred = Math.Min(_nextDeferred, fault.DueAt);
    }

    private static ulong PageBytesAt(Session session, ulong address) => session.Regions.Find(address)?.PageBytes ?? (ulong)PageSize.Base;

    // Scarcity, unlike a race, may last: the policy's deadline and verdict apply.
    private void DeferOrGiveUp(in FaultContext fault, DeferralReason reason, string why)
    {
        if (_turned >= DeadlineOf(fault.Region.Policy, fault.Since))
        {
            GiveUp(in fault, why);
            return;
        }

        Defer(in fault, reason);
    }

    private void RetryDeferred()
    {
        _nextDeferred = long.MaxValue;
        for (int i = _deferring.Count - 1; i >= 0; i--)
        {
            Session session = _deferring[i];

            // Whatever is unread is the likeliest reason for the refusal.
            if (session.State == SessionState.Serving)
            {
                Pump(session);
            }

            session.Deferred.TakeDue(_now, _due);
            foreach (DeferredFault fault in _due)
            {
                Retry(session, in fault);
            }

            if (session.Deferred.Count == 0)
            {
                session.IsDeferring = false;
                _deferring.Remove(session);
            }
            else
            {
                _nextDeferred = Math.Min(_nextDeferred, session.Deferred.NextDue);
            }
        }
    }

    private void Retry(Session session, in DeferredFault fault)
    {
        if (session.State == SessionState.Ended)
        {
            Account(session, KindOf(fault.Flags), FaultOutcome.ClientGone, fault.ReadAt);
            return;
        }

        ulong pageBytes = session.Regions.Find(fault.Address)?.PageBytes ?? (ulong)PageSize.Base;
        PageState state = session.Pages.Get(fault.Address);
        _ = session.Pages.TrySetPage(fault.Address, pageBytes, state & ~(PageState.Deferred | PageState.Waited));
        if (session.State == SessionState.Condemned)
        {
            RefuseFault(session, fault.Address, KindOf(fault.Flags), 0, fault.ReadAt);
            return;
        }

        Serve(session, fault.Address, fault.Flags, fault.ReadAt, ResumedSince(session.Tenant, in fault), fault.Attempts);
    }

    /// <summary>A single page cannot be had: the policy says what its waiters get.</summary>
    private void GiveUp(in FaultContext fault, string why)
    {
        switch (fault.Region.Policy.OnUnavailable)
        {
            case Verdict.Poison:
                // It may have been given back since a list had it: that is still to be told.
                _ = fault.Session.Pages.TrySetPage(fault.Page, fault.Region.PageBytes, PageState.Poisoned | (fault.Session.Pages.Get(fault.Page) & PageState.Dirty));
                _engine.Publish(new PagePoisoned(_now, fault.Session, fault.Page, why));
                InstallPoison(fault with { State = PageState.Poisoned });
                break;
            case Verdict.Kill:
                KillInstead(in fault, why);
                break;
            default:
                Defer(in fault, DeferralReason.NoMemory);
                break;
        }
    }
}
