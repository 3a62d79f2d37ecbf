using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine;

/// <content>How sessions come about.</content>
public sealed partial class FaultEngine
{
    // Without these the client could change its address space behind our back.
    private const UffdFeatures Wanted =
        UffdFeatures.EventFork | UffdFeatures.EventRemap | UffdFeatures.EventRemove | UffdFeatures.EventUnmap
        | UffdFeatures.ThreadId | UffdFeatures.PagefaultFlagWp | UffdFeatures.Poison | UffdFeatures.WpUnpopulated
        | UffdFeatures.WpHugetlbfsShmem | UffdFeatures.MinorShmem | UffdFeatures.MinorHugetlbfs
        | UffdFeatures.MissingShmem | UffdFeatures.MissingHugetlbfs | UffdFeatures.Move;

    /// <summary>Takes a userfaultfd on.</summary>
    /// <returns>The session, or why there is none; then both descriptors are closed.</returns>
    public async Task<AttachResult> AttachAsync(AttachRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(request.OwnerRecord.Length, AttachRequest.MaximumOwnerRecord, nameof(request));
        if (request.Registered.Count > 0 && (!request.ApiDone || request.Adopt))
        {
            throw new ArgumentException("Ranges that are registered need a userfaultfd of which the interface is known, and are not adopted.", nameof(request));
        }

        EngineError? error;
        try
        {
            error = Prepare(request, out UffdFeatures features);
            if (error is null && !request.Tenant.Usage.TryAddSession(request.Tenant.Limits.Sessions))
            {
                error = new EngineError(EngineErrorKind.Limit, Errno.EDQUOT, $"tenant {request.Tenant.Name} has its {request.Tenant.Limits.Sessions} sessions; end one, or raise limits.sessions");
            }

            if (error is null)
            {
                return await EnterAsync(request, features).ConfigureAwait(false);
            }
        }
        catch (SyscallException failure)
        {
            error = new EngineError(EngineErrorKind.Kernel, failure.Errno, failure.Message);
        }
        catch (Exception failure) when (failure is IOException or FormatException)
        {
            error = new EngineError(EngineErrorKind.Kernel, Errno.EIO, $"/proc/self/fdinfo: {failure.Message}");
        }

        Discard(request);
        return new AttachResult(null, error);
    }

    // The tenant's session is counted by now. Every way out without a session gives back all that was taken on the way in.
    private async Task<AttachResult> EnterAsync(AttachRequest request, UffdFeatures features)
    {
        AddressSpace space = _registry.Enter(request.Pid, request.ProcessStartTime);
        SessionLedger ledger;
        try
        {
            ledger = new SessionLedger(StateMemory.Create(space.Loop.StateBytes));
        }
        catch
        {
            _registry.Leave(space);
            request.Tenant.Usage.RemoveSession();
            throw;
        }

        long id = _registry.NextId();
        ledger.Memory.Assign(id);
        Session session = new(
            id, request.Uffd, space.Loop, request.Tenant, request.DefaultPolicy, request.Label, features, NewToken(), CountersOf(request.Tenant, space.Loop), ledger)
        {
            HasKeeper = request.HasKeeper,
            IsUserModeOnly = request.IsUserModeOnly,
            OwnerRecord = request.OwnerRecord,
            Space = space,
            State = request.Adopt ? SessionState.Adopting : SessionState.Serving,
        };
        session.Identify(request.Pid, request.ProcessStartTime, request.PidFd);
        _registry.Add(session);
        EngineError? error;
        PageSource? held = null;
        List<RegisterRequest> ranges = [];
        try
        {
            held = request.DefaultPolicy.Source?.AddReference();
            error = held?.Keep(_keeper) == false ? NoRoomToKeep("the source of its default policy") : null;
            session.Record();
            CrashPoints.Visit(CrashPoint.AttachRecorded);
            IReadOnlyList<VmaInfo> mappings = request.Adopt || request.Registered.Count > 0 ? ProcessInfo.ReadSmaps(request.Pid) : [];
            error ??= RegisteredRangeChecks.Resolve(session, request.Registered, mappings, out ranges);
            IReadOnlyList<ulong> pageBytes = [.. request.Registered.Select(range => range.PageBytes)];
            error ??= await RunAsync(space.Loop, loop => Admit(loop, session, request.Adopt ? mappings : [], ranges, pageBytes)).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is SyscallException or ObjectDisposedException)
        {
            error = failure is SyscallException syscall
                ? new EngineError(EngineErrorKind.Kernel, syscall.Errno, syscall.Message)
                : new EngineError(EngineErrorKind.State, Errno.ESHUTDOWN, "the manager stops, or the policy's source was given up");
        }
        finally
        {
            held?.Dispose();
        }

        if (error is null)
        {
            // The client may close its own descriptor as soon as it has the answer.
            await _keeper.SettleAsync().ConfigureAwait(false);
            Publish(new SessionStarted(MonotonicClock.NowNanoseconds, session));
            return new AttachResult(session, null);
        }

        _registry.Remove(session);
        _registry.Leave(space);
        _keeper.RemoveSession(id);
        request.Tenant.Usage.RemoveSession();
        session.Lease.Dispose();
        session.Pages.Dispose();
        ledger.Dispose();
        Discard(request);
        return new AttachResult(null, error);
    }

    // On the loop. Nothing of the session is left there when it is not admitted.
    private EngineError? Admit(FaultLoop loop, Session session, IReadOnlyList<VmaInfo> adopted, IReadOnlyList<RegisterRequest> ranges, IReadOnlyList<ulong> pageBytes)
    {
        AddressSpace space = session.Space!;
        if (space.Sessions.Find(other => OpenFileIdentity.IsSame(other.Uffd, session.Uffd)) is Session twin)
        {
            // Two readers of one queue would each miss what the other one reads.
            return new EngineError(EngineErrorKind.Conflict, Errno.EBUSY, $"this userfaultfd is served by session {twin.Id} already", new RangeHolder(twin.Id, twin.Pid, twin.Tenant.Name, 0, 0));
        }

        AdoptRegions(session, adopted);
        if (loop.TakeRegistered(session, ranges, pageBytes) is EngineError refused)
        {
            return refused;
        }

        // Not before it is known to be the only one: what is one open file is kept once, under its first name.
        session.IsStored = _keeper.StoreSession(session.Id, session.Uffd, session.PidFd!, session.Ledger.Memory.Memfd);
        CrashPoints.Visit(CrashPoint.AttachStored);
        if (!session.IsStored)
        {
            session.Tenant.Usage.ForceRegions(-session.Regions.Count, -(long)session.Regions.Bytes);
            session.Regions.Clear();
            return NoRoomToKeep("one more session");
        }

        space.Sessions.Add(session);
        loop.Add(session);
        loop.AwaitRanges(session);
        foreach (Region region in session.Regions.All.ToArray())
        {
            loop.BeginPrefetch(session, region);
        }

        return null;
    }

    /// <summary>Whether a session of a process has this very userfaultfd.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="startTime">Of the process.</param>
    /// <param name="uffd">Borrowed until the answer.</param>
    public async Task<bool> IsServedAsync(int pid, ulong startTime, SafeFd uffd)
    {
        foreach (Session session in Sessions().Where(session => session.Pid == pid && session.ProcessStartTime == startTime))
        {
            // On its loop, which is where it ends.
            if (await RunAsync(session.Loop, _ => session.State != SessionState.Ended && OpenFileIdentity.IsSame(session.Uffd, uffd)).ConfigureAwait(false))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The session whose mailbox carried this word; null when there is none.</summary>
    public Session? FindForkedChild(ulong token) => token == 0 ? null : _registry.ByToken(token);

    /// <summary>Tells who a forked child is.</summary>
    /// <param name="child">The session found by its token.</param>
    /// <param name="pid">The process that presented the token.</param>
    /// <param name="startTime">Its start time.</param>
    /// <param name="pidFd">Its descriptor; owned by the engine from now on, whatever the outcome.</param>
    /// <param name="hasKeeper">Whether its side keeps a duplicate of the userfaultfd.</param>
    public Task<EngineResult> BindForkedChildAsync(Session child, int pid, ulong startTime, SafePidFd pidFd, bool hasKeeper)
    {
        ArgumentNullException.ThrowIfNull(child);
        return RunAsync(child.Loop, loop =>
        {
            if (child.State is SessionState.Ended || (child.Pid != 0 && child.Pid != pid))
            {
                pidFd.Dispose();
                return new EngineResult(new EngineError(EngineErrorKind.State, Errno.ESRCH, "the token belongs to another process, or its session is over"));
            }

            child.HasKeeper = hasKeeper;
            child.Record();
            if (child.PidFd is null)
            {
                loop.Identify(child, pid, startTime, pidFd);
            }
            else
            {
                pidFd.Dispose();
            }

            return EngineResult.Success;
        });
    }

    /// <summary>A duplicate of a session's userfaultfd, for its keeper.</summary>
    /// <returns>Owned by the caller.</returns>
    /// <exception cref="SyscallException">No descriptors.</exception>
    /// <exception cref="ObjectDisposedException">The session is over.</exception>
    public static SafeUffd DuplicateUffd(Session session)
    {
        ArgumentNullException.ThrowIfNull(session);
        return session.Uffd.Duplicate<SafeUffd>();
    }

    /// <summary>Changes what a session's owner will find with it after a restart; see <see cref="AttachRequest.OwnerRecord"/>.</summary>
    public Task SetOwnerRecordAsync(Session session, ReadOnlyMemory<byte> record)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(record.Length, AttachRequest.MaximumOwnerRecord, nameof(record));
        return RunAsync(session.Loop, _ =>
        {
            session.OwnerRecord = record;
            if (session.State != SessionState.Ended)
            {
                session.Record();
            }

            return true;
        });
    }

    internal Session NewForkedSession(Session parent, long id, SafeUffd uffd, SessionLedger ledger)
    {
        Session child = new(id, uffd, parent.Loop, parent.Tenant, parent.DefaultPolicy, parent.Label, parent.Features, NewToken(), parent.Counters, ledger)
        {
            OwnerRecord = parent.OwnerRecord,
            HeldSource = parent.HeldSource?.AddReference(),
            IsUserModeOnly = parent.IsUserModeOnly,
            ParentId = parent.Id,
            ParentPid = parent.Pid,
            State = SessionState.Serving,
        };
        _registry.Add(child);
        return child;
    }

    /// <summary>
    /// Finds out which process a forked child is, from the thread id that its first fault carried. That number is of the faulter's own pid
    /// namespace, so it is believed only if it names a child of the parent.
    /// </summary>
    internal static bool TryIdentifyForked(FaultLoop loop, Session session, int tid)
    {
        if (session.ParentPid == 0
            || !ProcessInfo.TryReadThreadGroup(tid, out int pid)
            || !ProcessInfo.TryReadParent(pid, out int parent)
            || parent != session.ParentPid
            || !ProcessInfo.TryReadStartTime(pid, out ulong startTime)
            || PidFd.TryOpen(pid, out _) is not SafePidFd pidFd)
        {
            return false;
        }

        loop.Identify(session, pid, startTime, pidFd);
        return true;
    }

    internal void Identified(Session session)
    {
        ClientReads? inherited = session.Reads;
        session.Space = _registry.EnterOn(session.Loop, session.Pid, session.ProcessStartTime);
        session.Space?.Sessions.Add(session);
        session.Reads = inherited?.With(session.Reads) ?? session.Reads;
        Publish(new ForkIdentified(MonotonicClock.NowNanoseconds, session));
    }

    internal void Ended(Session session, SessionEndReason reason)
    {
        _registry.Remove(session);
        if (session.Space is AddressSpace space)
        {
            space.Sessions.Remove(session);
            _registry.Leave(space);
        }

        Publish(new SessionEnded(MonotonicClock.NowNanoseconds, session, reason, session.FaultCount, session.CopiedBytes));
    }

    private static void Discard(AttachRequest request)
    {
        request.Uffd.Dispose();
        request.PidFd.Dispose();
    }

    private EngineError? Prepare(AttachRequest request, out UffdFeatures features)
    {
        features = UffdFeatures.None;
        if (!Userfaultfd.IsUserfaultfd(request.Uffd))
        {
            return new EngineError(EngineErrorKind.Invalid, Errno.EINVAL, "the descriptor is not a userfaultfd");
        }

        FileIo.SetNonBlocking(request.Uffd);
        if (request.ApiDone)
        {
            UffdFdInfo info = UffdFdInfoReader.Read(request.Uffd);
            features = info.Enabled;
            return info.Initialised ? null : new EngineError(EngineErrorKind.Invalid, Errno.EINVAL, "API_DONE was said, but UFFDIO_API was not called on the userfaultfd");
        }

        // SIGBUS instead of messages is the one feature that would leave us without anything to do.
        UffdFeatures asked = (Wanted | request.RequestedFeatures) & KernelFeatures & ~UffdFeatures.Sigbus;
        Errno errno = Userfaultfd.Api(request.Uffd, asked, out _, out _);
        if (errno == Errno.EPERM && (asked & UffdFeatures.EventFork) != 0)
        {
            // Fork events need CAP_SYS_PTRACE in whoever calls UFFDIO_API. A refused call leaves the descriptor usable.
            asked &= ~UffdFeatures.EventFork;
            errno = Userfaultfd.Api(request.Uffd, asked, out _, out _);
        }

        features = asked;
        return errno switch
        {
            Errno.OK => null,
            Errno.EINVAL => new EngineError(EngineErrorKind.Kernel, errno, "UFFDIO_API was already called on the userfaultfd: say API_DONE, or leave the call to the manager"),
            _ => new EngineError(EngineErrorKind.Kernel, errno, $"UFFDIO_API: {errno.Describe()}"),
        };
    }

    // What the kernel has registered on this userfaultfd. smaps does not say on which one, but to register a range once more for the modes that
    // it has is harmless on the right one and EBUSY on any other.
    private void AdoptRegions(Session session, IReadOnlyList<VmaInfo> mappings)
    {
        PageSource source = session.DefaultPolicy.Source ?? ZeroSource.Instance;
        foreach (VmaInfo mapping in mappings)
        {
            if (mapping.UffdModes == 0
                || Userfaultfd.Register(session.Uffd, mapping.Start, mapping.Length, mapping.UffdModes, out UffdIoctls ioctls) != Errno.OK)
            {
                continue;
            }

            // Which part of a file an adopted range shows is only known to the client, who registers it again. Until then nobody may guess.
            PageSource assumed = source.IsZero ? source : LostSource.Instance;
            session.Regions.Add(new Region
            {
                Start = mapping.Start,
                End = mapping.End,
                PageBytes = mapping.PageSize,
                Modes = mapping.UffdModes,
                Ioctls = ioctls,
                Flags = RegionFlags.None,
                Policy = session.DefaultPolicy,
                Source = assumed.AddReference(),
                SourceOffset = 0,
                Generation = NextGeneration(),
            });
        }

        session.Tenant.Usage.ForceRegions(session.Regions.Count, (long)session.Regions.Bytes);
    }
}
