using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Forks: a process more, of which we hold the only handle.</content>
/// <remarks>
/// Reading the event puts the child's userfaultfd into our descriptor table and lets the parent go on; nothing can be refused any more. From there to
/// the descriptor store it is a few instructions, because all that takes time was made before, and a while nothing is read if messages to the store would have to
/// wait in this process (<see cref="MayRead"/>). A manager that is killed on that way takes the descriptor with it; its successor finds the message in the parent's inbox, or the note
/// that it waited (<see cref="NoteUnstored"/>), knows that a child is lost, and looks for it.
/// </remarks>
internal sealed partial class FaultLoop
{
    // Children of one parent that were refused, and wait to be found and killed.
    private const int MaximumRefusedChildren = 64;

    // It would read zeros as soon as this manager ends otherwise than in order.
    private const string NotStored = "was forked, and the service manager does not keep its userfaultfd (FileDescriptorStoreMax= of the unit, --store-max of uffd-supervise)";

    private SessionLedger? _spareLedger;

    /// <summary>Whether a fork event could be taken in: there is a ledger for the child, and its descriptor need not wait in this process, with which it would go, or has been waited for long enough.</summary>
    private bool MayRead(Session session)
    {
        if ((session.Features & UffdFeatures.EventFork) == 0)
        {
            return true;
        }

        if (!_engine.Keeper.IsPrompt)
        {
            if (IsForkToWait(session))
            {
                return false;
            }
        }
        else
        {
            _behindSince = 0;
        }

        // Who is forked by what is read now begins after this.
        _forkedAfter = BoottimeClock.NowNanoseconds;
        if (_spareLedger is not null)
        {
            return true;
        }

        try
        {
            _spareLedger = new SessionLedger(StateMemory.Create(StateBytes));
            return true;
        }
        catch (SyscallException)
        {
            return false;
        }
    }

    private void ApplyFork(Session parent, int descriptor)
    {
        CrashPoints.Visit(CrashPoint.ForkRead);
        SafeUffd uffd = SafeUffd.Adopt(descriptor);
        long id = _engine.NextSessionId();
        parent.Ledger.ForkedChild = id;
        bool isStored = _engine.Keeper.StoreSession(id, uffd);
        if (!_engine.Keeper.IsSettled)
        {
            NoteUnstored(parent);
        }

        CrashPoints.Visit(CrashPoint.ForkStored);

        // Several threads may fork at once: only the first child of a batch finds its ledger made. Without memory for the next one this manager ends
        // here, and its successor takes the child in.
        SessionLedger ledger = _spareLedger ?? new SessionLedger(StateMemory.Create(StateBytes));
        _spareLedger = null;
        ledger.Memory.Assign(id);
        Session child = _engine.NewForkedSession(parent, id, uffd, ledger);
        child.IsStored = isStored;
        BringUp(parent, child);
    }

    /// <summary>Makes a forked child what its parent was at this moment.</summary>
    private void BringUp(Session parent, Session child)
    {
        child.Tenant.Usage.AddSession();
        child.Reads = parent.Reads?.ForChild();
        Add(child);
        _engine.Publish(new ForkAdopted(_now, child, parent));
        string? refusal = WhyForkIsTooMuch(parent) ?? (child.IsStored ? null : NotStored);
        if (refusal is not null)
        {
            RefuseFork(parent, child, refusal);
            return;
        }

        foreach (Region region in parent.Regions.All)
        {
            // Whoever tracks the parent does not track the child: what is protected there lets its first writer go on. And nothing is installed ahead in it.
            Region copy = region.Derive(region.Start, region.End, region.SourceOffset, region.Generation, region.Flags & ~(RegionFlags.Tracked | RegionFlags.Ahead));
            child.Regions.Add(copy);
        }

        child.Tenant.Usage.ForceRegions(child.Regions.Count, (long)child.Regions.Bytes);
        foreach (Region region in child.Regions.All)
        {
            CopyPages(parent, child, region);
        }

        child.Record();
        CrashPoints.Visit(CrashPoint.ForkCopied);
        child.IsStored &= _engine.Keeper.StoreSession(child.Id, child.Ledger.Memory.Memfd);
        if (!child.IsStored && !IsZeroOnly(parent))
        {
            Kill(child, 0, NotStored);
        }
        else if (child.Ledger.IsIncomplete)
        {
            Kill(child, 0, "the manager has no memory to record a forked child");
        }
        else if (parent.State == SessionState.Condemned)
        {
            Kill(child, 0, "was forked from a process that the manager had to kill");
        }
    }

    // The child has been counted among the sessions already.
    private static string? WhyForkIsTooMuch(Session parent)
    {
        TenantLimits limits = parent.Tenant.Limits;
        TenantUsage usage = parent.Tenant.Usage;
        return usage.Sessions > limits.Sessions ? $"was forked beyond the tenant's limit of {limits.Sessions} sessions"
            : usage.Regions + parent.Regions.Count > limits.Regions ? $"was forked beyond the tenant's limit of {limits.Regions} regions"
            : usage.RegisteredBytes + (long)parent.Regions.Bytes > limits.RegisteredBytes ? $"was forked beyond the tenant's limit of {limits.RegisteredBytes} registered bytes"
            : null;
    }

    // A fork cannot be refused: the child exists. Where the kernel's zero fill is an equal substitute it goes on without us,
    // otherwise it is killed as soon as its first fault says who it is.
    private void RefuseFork(Session parent, Session child, string why)
    {
        bool released = IsZeroOnly(parent);
        _engine.Publish(new ForkRefused(_now, child, released, why));
        if (released)
        {
            End(child, SessionEndReason.Released);
        }
        else
        {
            Kill(child, 0, why);
            _engine.Keeper.StoreSession(child.Id, child.Ledger.Memory.Memfd);
            parent.RefusedChildren.RemoveAll(it => it.State == SessionState.Ended);
            parent.RefusedChildren.Add(child);
            if (parent.RefusedChildren.Count > MaximumRefusedChildren)
            {
                // Children that never fault are never found; each of them costs descriptors, here and in the store, which are everybody's.
                Kill(parent, 0, "forks on and on beyond the tenant's limits");
            }
        }
    }

    private void CopyPages(Session parent, Session child, Region region)
    {
        ulong cursor = region.Start;
        while (parent.Pages.NextRun(cursor, region.End, out ulong stop, out PageState state))
        {
            PageState kind = state & PageState.StateMask;
            if (kind is PageState.Present or PageState.Removed or PageState.Poisoned)
            {
                if (!child.Pages.TrySetRange(cursor, stop, kind))
                {
                    Kill(child, cursor, "the manager has no memory for the page table of a forked child");
                    return;
                }

                if (kind == PageState.Present)
                {
                    AddResident(child, (long)(stop - cursor));
                }
            }

            cursor = stop;
        }
    }
}
