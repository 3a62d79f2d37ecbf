using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Sessions of an earlier manager: what it had begun is brought to its end before anything new is read.</content>
internal sealed partial class FaultLoop
{
    /// <summary>Takes sessions on and completes what was under way in them. Their faults still wait.</summary>
    public bool Resume(IEnumerable<RestoredSession> sessions, FaultEngine.Restore restore)
    {
        foreach (RestoredSession restored in sessions)
        {
            Session session = restored.Session;
            session.Space?.Sessions.Add(session);
            Add(session);

            // Of what the manager before this one had been told a moment ago nothing is on record.
            session.Removals.Add(0, ulong.MaxValue, _now);
            try
            {
                FinishUnregister(session);
                foreach ((_, Region region) in restore.Wanted.Where(wanted => wanted.Session == session))
                {
                    FinishRegister(session, region);
                }

                RestoreAwaited(session, restore.Aside.Where(aside => aside.Session == session).Select(aside => aside.Region));
                ReplayEvents(session, restore);
                KillUnstoredChildren(session, restore);
            }
            catch (Exception failure) when (!RestoreTrouble.IsOurs(failure))
            {
                string reason = $"what the manager before this one had begun cannot be completed: {failure.Message}";
                Kill(session, 0, reason);
                restore.Failures.Add(new RestoreFailure(session.Id, session.Pid, reason, session.PidFd is not null));
            }
        }

        return true;
    }

    /// <summary>Makes the numbers of a restored session exact; in its own turn, because it takes longer the more memory there is.</summary>
    public static bool CountPresent(Session session)
    {
        if (session.State == SessionState.Serving)
        {
            NotePresent(session);
        }

        return true;
    }

    /// <summary>Serves them from now on. Faults that the earlier manager had read are lost; a wake makes the kernel report them again.</summary>
    public bool BeginServingRestored(IEnumerable<RestoredSession> sessions)
    {
        foreach (RestoredSession restored in sessions)
        {
            Session session = restored.Session;
            if (session.State != SessionState.Adopting)
            {
                continue;
            }

            if (restored.Record!.IsCondemned)
            {
                Kill(session, 0, "was to be killed by the manager before this one");
            }
            else if (restored.Record.IsAdopting)
            {
                AwaitRanges(session);
            }
            else
            {
                BeginServing(session);
            }

            CrashPoints.Visit(CrashPoint.WakeHalf);
        }

        return true;
    }

    /// <summary>Leaves every session to the next manager: nothing is read, filled or ended any more.</summary>
    public bool Retire()
    {
        CheckUnstored();
        _stopping = true;
        _isHandingOver = true;
        return true;
    }

    private void FinishUnregister(Session session)
    {
        (ulong start, ulong end) = session.Ledger.Unregistering;
        if (start != 0)
        {
            _ = UnregisterRecorded(session, start, end);
            session.Ledger.Unregistering = default;
        }
    }

    // If the kernel was asked it is completed: the client was not told, but what it gets there is what it wanted. If not, it is forgotten: the client may ask
    // again, or may have gone on with other memory at that place.
    private void FinishRegister(Session session, Region wanted)
    {
        ulong pageBytes = 0;
        UffdIoctls ioctls = UffdIoctls.None;
        Errno errno = Errno.ENOENT;
        VmaInfo? mapping = session.Pid == 0 ? null : ProcessInfo.ReadSmaps(session.Pid).FirstOrDefault(it => it.Start <= wanted.Start && wanted.Start < it.End);
        if (mapping is not null && (mapping.UffdModes & wanted.Modes) == wanted.Modes)
        {
            errno = Userfaultfd.Register(session.Uffd, wanted.Start, wanted.Length, wanted.Modes, out ioctls);
            pageBytes = errno == Errno.OK ? mapping.PageSize : 0;
        }

        if (pageBytes != 0 && pageBytes <= ScratchBytes && PageSize.IsAligned(wanted.Start | wanted.Length | (ulong)wanted.SourceOffset, pageBytes))
        {
            ApplyUnmap(session, wanted.Start, wanted.End);
            session.Regions.Add(new Region
            {
                Start = wanted.Start,
                End = wanted.End,
                PageBytes = pageBytes,
                Modes = wanted.Modes,
                Ioctls = ioctls,
                Flags = wanted.Flags,
                Policy = wanted.Policy,
                Source = wanted.Source.AddReference(),
                Image = wanted.Image?.AddReference(),
                SourceOffset = wanted.SourceOffset,
                Generation = wanted.Generation,
            });
            session.Tenant.Usage.ForceRegions(1, (long)wanted.Length);
            NoteNewRange(session, session.Regions.Find(wanted.Start)!);
        }
        else if (errno == Errno.OK)
        {
            _ = Userfaultfd.Unregister(session.Uffd, wanted.Start, wanted.Length);
        }

        session.Ledger.Forget(wanted);
        wanted.Release();
    }

    // Messages that the earlier manager had read, and so acknowledged, and whose consequences it may not have recorded in full.
    private void ReplayEvents(Session session, FaultEngine.Restore restore)
    {
        foreach (ref UffdMessage message in session.Ledger.Inbox(SessionLedger.InboxMessages))
        {
            if (message.Event is UffdEventKind.None or UffdEventKind.PageFault)
            {
                continue;
            }

            if (!IsPossible(in message))
            {
                throw new CorruptStateException("a message that was read last does not make sense");
            }

            if (message.Event == UffdEventKind.Fork)
            {
                ReplayFork(session, restore);
                message.Event = UffdEventKind.None;
                session.Ledger.ForkedChild = 0;
            }
            else
            {
                ApplyEvent(session, ref message);
            }
        }

        ForgetDisplacedIfQuiet(session);
    }

    // It was the kernel's once; but nothing else checks what lies there.
    private static bool IsPossible(in UffdMessage message)
    {
        return message.Event switch
        {
            UffdEventKind.Fork => true,
            UffdEventKind.Remap => IsRange(message.From, message.From + message.Length) && IsRange(message.To, message.To + message.Length),
            UffdEventKind.Remove or UffdEventKind.Unmap => IsRange(message.Start, message.End),
            _ => false,
        };

        static bool IsRange(ulong start, ulong end) => start < end && end <= 1UL << 48 && PageSize.IsAligned(start | end, (ulong)PageSize.Base);
    }

    private void ReplayFork(Session parent, FaultEngine.Restore restore)
    {
        long id = parent.Ledger.ForkedChild;
        bool isRestored = id != 0 && restore.Sessions.Exists(restored => restored.Session.Id == id);
        if (!isRestored)
        {
            if (id != 0 && _engine.ChildOfInterruptedFork(parent, id, restore) is Session child)
            {
                BringUp(parent, child);
                if (child.State is not (SessionState.Ended or SessionState.Condemned))
                {
                    BeginServing(child);
                }
            }
            else
            {
                KillLostChildren(parent, parent.StartedSinceBoot, restore);
            }
        }
    }

    // Pages that the kernel has and the table does not know of: filled by a manager that did not live to note it. Not those that are called swapped:
    // the markers of write protection and poison are called so too, where nothing is at all.
    private static void NotePresent(Session session)
    {
        if (session.Pid == 0)
        {
            return;
        }

        try
        {
            using SafeFile pagemap = PagemapScan.OpenPagemap(session.Pid);
            foreach (Region region in session.Regions.All)
            {
                NotePresent(session, region, pagemap);
            }
        }
        catch (SyscallException)
        {
            // It only makes the numbers exact: a page that is there does not fault.
        }
    }

    private static void NotePresent(Session session, Region region, SafeFile pagemap)
    {
        Span<PageRegion> runs = stackalloc PageRegion[64];
        ulong cursor = region.Start;
        while (cursor < region.End)
        {
            PagemapScanRequest request = new()
            {
                Start = cursor,
                End = region.End,
                Required = PageCategories.Present,
                Returned = PageCategories.Present,
            };
            if (PagemapScan.Scan(pagemap, request, runs, out int count, out ulong walked) != Errno.OK || walked <= cursor)
            {
                return;
            }

            // A range that moves while we look has left its region's place: what is there now is somebody else's. Only we can make an end to a change.
            if (Userfaultfd.IsChanging(session.Lease))
            {
                return;
            }

            foreach (PageRegion run in runs[..count])
            {
                NotePresent(session, region, PageSize.AlignDown(run.Start, region.PageBytes), PageSize.AlignUp(run.End, region.PageBytes));
            }

            cursor = walked;
        }
    }

    private static void NotePresent(Session session, Region region, ulong start, ulong end)
    {
        ulong cursor = start;
        while (session.Pages.NextRun(cursor, end, out ulong stop, out PageState state))
        {
            if ((state & ~PageState.Dirty) == PageState.Absent)
            {
                MarkPresent(session, region, cursor, stop);
            }

            cursor = stop;
        }
    }
}
