using System.Diagnostics;
using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine;

/// <content>Going on where an earlier manager ended, however it ended.</content>
public sealed partial class FaultEngine
{
    /// <summary>
    /// Takes over what an earlier manager had stored: sessions are served again as if nothing had happened. What cannot be taken over fails closed:
    /// its client is killed, or where nobody knows who it is, its pages are poisoned; never does anyone read zeros. Call it after <see cref="Start"/>,
    /// before the first <see cref="AttachAsync"/>.
    /// </summary>
    /// <param name="inherited">What was stored; owned by the engine from now on.</param>
    /// <param name="owner">Tells tenants, and hears of sources and images.</param>
    public async Task<RestoreReport> RestoreAsync(IReadOnlyList<StoredDescriptor> inherited, IRestoreOwner owner)
    {
        ArgumentNullException.ThrowIfNull(inherited);
        ArgumentNullException.ThrowIfNull(owner);
        using InheritedDescriptors descriptors = new(inherited);
        _keeper.Reserve(descriptors.LastStoreId);
        _registry.Reserve(descriptors.LastSessionId);
        using RestoredParts parts = new(descriptors, _keeper, ImageCache, owner);
        try
        {
            return await RestoreAsync(new Restore(owner, parts, descriptors)).ConfigureAwait(false);
        }
        catch
        {
            // Whoever tries next must find everything as it is.
            _keeper.Leave();
            throw;
        }
    }

    private async Task<RestoreReport> RestoreAsync(Restore restore)
    {
        InheritedDescriptors descriptors = restore.Descriptors;
        restore.Parts.RestoreImages();
        foreach (InheritedSession session in descriptors.Sessions)
        {
            // A child whose fork was being taken in has no state yet; its parent's state says so, and comes first.
            if (session.Uffds.Count == 1 && session.States.Count == 0 && restore.ForkedChildren.Contains(session.Id))
            {
                continue;
            }

            BuildOrFail(restore, session);
            CrashPoints.Visit(CrashPoint.RestoreHalf);
        }

        foreach (IGrouping<FaultLoop, RestoredSession> group in restore.Sessions.GroupBy(restored => restored.Session.Loop).ToArray())
        {
            await RunAsync(group.Key, loop => loop.Resume(group, restore)).ConfigureAwait(false);
        }

        foreach (InheritedSession left in descriptors.Sessions.Where(session => !session.HasNothing))
        {
            FailClosed(restore, left, default, "it was forked from a session that could not be restored");
        }

        foreach (long source in descriptors.LeftSources)
        {
            _keeper.RemoveSource(source);
        }

        CrashPoints.Visit(CrashPoint.RestoreDone);
        foreach (IGrouping<FaultLoop, RestoredSession> group in restore.Sessions.GroupBy(restored => restored.Session.Loop).ToArray())
        {
            await RunAsync(group.Key, loop => loop.BeginServingRestored(group)).ConfigureAwait(false);
        }

        _ = CountPresentAsync(restore.Sessions);
        foreach (RestoredSession restored in restore.Sessions)
        {
            restored.Session.Loop.Post(new LoopCommand<bool>(loop => loop.UndoHalfDone(restored.Session)));
        }

        return new RestoreReport(
            [.. restore.Sessions.Where(restored => restored.Session.State != SessionState.Ended)], restore.Failures, restore.Gone, descriptors.Foreign);
    }

    // One after the other, each in a turn of its own: faults come first.
    private static async Task CountPresentAsync(List<RestoredSession> sessions)
    {
        try
        {
            foreach (RestoredSession restored in sessions)
            {
                await RunAsync(restored.Session.Loop, _ => FaultLoop.CountPresent(restored.Session)).ConfigureAwait(false);
            }
        }
        catch (ObjectDisposedException)
        {
            // The engine stops; the numbers go with it.
        }
    }

    /// <summary>
    /// Stops serving without ending any session: everything that a successor needs is on record and in the store. Faults wait from here on.
    /// <see cref="Dispose"/> then closes our descriptors only.
    /// </summary>
    public async Task HandOverAsync()
    {
        // Who is not in the store cannot be handed over.
        await Task.WhenAll(_registry.All.Where(session => _keeper.IsKept && !session.IsStored).Select(session => EndAsync(session, EndMode.Stop))).ConfigureAwait(false);

        // While the loops still serve: whoever faults does not wait for what is kept for later runs, and the process ends soon after them.
        await Task.WhenAll(_loops.Select(loop => RunAsync(loop, it => it.ConcludeRuns()))).ConfigureAwait(false);
        await Task.Run(() => WorkingSets.WaitForRest(s_learningPatience)).ConfigureAwait(false);
        _keeper.Leave();
        await Task.WhenAll(_loops.Select(loop => RunAsync(loop, it => it.Retire()))).ConfigureAwait(false);
    }

    /// <summary>On the loop: the child of a fork that was being taken in when the earlier manager ended; null when its descriptor was lost.</summary>
    internal Session? ChildOfInterruptedFork(Session parent, long id, Restore restore)
    {
        if (restore.Descriptors.Session(id) is not { Uffds.Count: 1, States.Count: 0 } inherited)
        {
            return null;
        }

        SessionLedger ledger = new(StateMemory.Create(parent.Loop.StateBytes));
        ledger.Memory.Assign(id);
        Session child = NewForkedSession(parent, id, InheritedSession.Take(inherited.Uffds)!, ledger);
        child.IsStored = true;
        return child;
    }

    /// <summary>How long pages are looked at that seem to be registered without the manager before their client is given up; nanoseconds.</summary>
    internal long UnknownRangePatience => (long)_options.UnknownRangePatience.TotalNanoseconds;

    private void BuildOrFail(Restore restore, InheritedSession inherited)
    {
        StateMemory? memory = null;
        (int Pid, ulong StartTime) process = default;
        try
        {
            if (inherited.States.Count == 1)
            {
                memory = StateMemory.Open(InheritedSession.Take(inherited.States)!, new MemoryGauge());
                process = memory.SessionId == inherited.Id ? memory.ReadProcess() : default;
                RecoveredSession recovered = SessionRestorer.Read(memory, inherited.Id);
                if (inherited.Uffds.Count == 1 && IsOver(inherited.Uffds[0]))
                {
                    restore.Gone++;
                    memory.Dispose();
                    inherited.Dispose();
                    _keeper.RemoveSession(inherited.Id);
                    return;
                }

                if (inherited.Defect is null or InheritedSession.NoState)
                {
                    Build(restore, inherited, recovered);
                    return;
                }
            }

            throw new CorruptStateException(inherited.Defect ?? InheritedSession.NoState);
        }
        catch (Exception failure) when (!RestoreTrouble.IsOurs(failure))
        {
            memory?.Dispose();
            FailClosed(restore, inherited, process, failure.Message);
        }
    }

    private static bool IsOver(SafeUffd uffd)
    {
        using FdLease lease = uffd.Lease();
        return Userfaultfd.IsOwnerGone(lease);
    }

    private static SafePidFd? TryOpenProcess(int pid, ulong startTime)
    {
        SafePidFd? pidFd = PidFd.TryOpen(pid, out _);
        if (pidFd is not null && ProcessInfo.TryReadStartTime(pid, out ulong found) && found == startTime)
        {
            return pidFd;
        }

        pidFd?.Dispose();
        return null;
    }

    private void Build(Restore restore, InheritedSession inherited, RecoveredSession recovered)
    {
        SessionRecord record = recovered.Content.Record;
        object?[] subjects = SessionRestorer.ReadDocuments(recovered, restore.Parts);
        Policy policy = SessionRestorer.Subject<Policy>(subjects, record.DefaultPolicy);
        List<(Region Region, nuint Place, RegionRecordState State)> regions = [];
        try
        {
            foreach ((nuint place, RegionRecordState state) in recovered.Content.Regions)
            {
                regions.Add((SessionRestorer.MakeRegion(place, subjects, NextGeneration()), place, state));
            }

            regions.Sort((a, b) => a.Region.Start.CompareTo(b.Region.Start));
            CheckDisjoint(regions);
        }
        catch
        {
            regions.ForEach(region => region.Region.Release());
            throw;
        }

        Session session = MakeSession(restore, inherited, recovered, policy);
        foreach ((Region region, nuint place, RegionRecordState state) in regions)
        {
            session.Ledger.Resume(region, place);
            switch (state)
            {
                case RegionRecordState.Wanted:
                    restore.Wanted.Add((session, region));
                    break;
                case RegionRecordState.Aside:
                    restore.Aside.Add((session, region));
                    break;
                default:
                    session.Regions.Add(region);
                    break;
            }
        }

        session.Ledger.DropUnused();
        session.Tenant.Usage.AddSession();
        session.Tenant.Usage.ForceRegions(session.Regions.Count, (long)session.Regions.Bytes);
        if (session.Ledger.ForkedChild is long child and not 0)
        {
            restore.ForkedChildren.Add(child);
        }

        restore.Sessions.Add(new RestoredSession(session, record.OwnerRecord) { Record = record });
    }

    private static void CheckDisjoint(List<(Region Region, nuint Place, RegionRecordState State)> regions)
    {
        Region? before = null;
        foreach ((Region region, _, RegionRecordState state) in regions)
        {
            if (state != RegionRecordState.Standing)
            {
                continue;
            }

            if (before is not null && before.End > region.Start)
            {
                throw new CorruptStateException($"two regions are recorded at 0x{region.Start:x}");
            }

            before = region;
        }
    }

    private Session MakeSession(Restore restore, InheritedSession inherited, RecoveredSession recovered, Policy policy)
    {
        SessionRecord record = recovered.Content.Record;
        Tenant tenant = restore.Owner.TenantOf(record.Tenant, record.Weight, record.Limits);
        AddressSpace? space = record.Pid == 0 ? null : _registry.Enter(record.Pid, record.ProcessStartTime);
        FaultLoop loop = space?.Loop ?? restore.Sessions.FirstOrDefault(other => other.Session.Id == record.ParentId)?.Session.Loop ?? _loops[0];
        recovered.Ledger.Memory.CountIn(loop.StateBytes);
        Session session = new(
            record.Id,
            InheritedSession.Take(inherited.Uffds)!,
            loop,
            tenant,
            policy,
            record.Label,
            (UffdFeatures)record.Features,
            record.ForkToken,
            CountersOf(tenant, loop),
            recovered.Ledger)
        {
            StartedAt = record.StartedAt,
            StartedSinceBoot = record.StartedSinceBoot != 0 ? record.StartedSinceBoot : record.StartedAt,
            TrackedSince = record.TrackedSince,
            IsTracking = record.TrackedSince != 0,
            IsFrozen = record.IsFrozen,
            HasKeeper = record.HasKeeper,
            IsUserModeOnly = record.IsUserModeOnly,
            OwnerRecord = record.OwnerRecord,
            ParentId = record.ParentId,
            ParentPid = record.ParentPid,
            Space = space,
            State = SessionState.Adopting,
            IsStored = true,
            HeldSource = policy.Source?.AddReference(),
        };
        if (record.Pid != 0)
        {
            session.Identify(record.Pid, record.ProcessStartTime, InheritedSession.Take(inherited.PidFds) ?? TryOpenProcess(record.Pid, record.ProcessStartTime));
        }

        session.Resume(recovered);
        _registry.Add(session);
        return session;
    }

    /// <summary>What a restore collects on its way.</summary>
    internal sealed class Restore(IRestoreOwner owner, RestoredParts parts, InheritedDescriptors descriptors)
    {
        private long? _firstDeath;

        public IRestoreOwner Owner { get; } = owner;

        public RestoredParts Parts { get; } = parts;

        public InheritedDescriptors Descriptors { get; } = descriptors;

        public List<RestoredSession> Sessions { get; } = [];

        /// <summary>Ranges whose registration was under way.</summary>
        public List<(Session Session, Region Region)> Wanted { get; } = [];

        /// <summary>Ranges that were displaced, and of which nobody has told yet where they are.</summary>
        public List<(Session Session, Region Region)> Aside { get; } = [];

        public List<RestoreFailure> Failures { get; } = [];

        /// <summary>Numbers of children whose fork was being taken in.</summary>
        public HashSet<long> ForkedChildren { get; } = [];

        public int Gone { get; set; }

        /// <summary>Who was forked by whom when the first session asked; null before. No child that was lost is younger.</summary>
        public ProcessFamilies? Families { get; set; }

        /// <summary>How long the death of one more process may be waited for: a second for all of them together, because everybody else waits too.</summary>
        public TimeSpan DeathPatience()
        {
            _firstDeath ??= Stopwatch.GetTimestamp();
            TimeSpan left = TimeSpan.FromSeconds(1) - Stopwatch.GetElapsedTime(_firstDeath.Value);
            return left > TimeSpan.Zero ? left : TimeSpan.Zero;
        }
    }
}
