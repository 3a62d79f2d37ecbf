using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
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
        bool counted = false;
        AddressSpace? space = null;
        try
        {
            EngineError? error = Prepare(request, out UffdFeatures features);
            counted = error is null && request.Tenant.Usage.TryAddSession(request.Tenant.Limits.Sessions);
            if (error is null && !counted)
            {
                error = new EngineError(EngineErrorKind.Limit, Errno.EDQUOT, $"tenant {request.Tenant.Name} has its {request.Tenant.Limits.Sessions} sessions; end one, or raise limits.sessions");
            }

            if (error is not null)
            {
                Discard(request);
                return new AttachResult(null, error);
            }

            space = _registry.Enter(request.Pid, request.ProcessStartTime);
            Session session = new(
                _registry.NextId(), request.Uffd, space.Loop, request.Tenant, request.DefaultPolicy, request.Label, features, NewToken(), CountersOf(request.Tenant, space.Loop))
            {
                HasKeeper = request.HasKeeper,
                Space = space,
                State = request.Adopt ? SessionState.Adopting : SessionState.Serving,
                AdoptionDeadline = MonotonicClock.NowNanoseconds + (long)_options.AdoptionTimeout.TotalNanoseconds,
            };
            session.Identify(request.Pid, request.ProcessStartTime, request.PidFd);
            IReadOnlyList<VmaInfo> mappings = request.Adopt ? ProcessInfo.ReadSmaps(request.Pid) : [];
            _registry.Add(session);
            Session? twin = await RunAsync(space.Loop, loop =>
            {
                if (space.Sessions.Find(other => OpenFileIdentity.IsSame(other.Uffd, session.Uffd)) is Session served)
                {
                    return served;
                }

                space.Sessions.Add(session);
                AdoptRegions(session, mappings);
                loop.Add(session);
                return null;
            }).ConfigureAwait(false);
            if (twin is not null)
            {
                // Two readers of one queue would each miss what the other one reads.
                _registry.Remove(session);
                _registry.Leave(space);
                request.Tenant.Usage.RemoveSession();
                session.Lease.Dispose();
                Discard(request);
                return new AttachResult(null, new EngineError(EngineErrorKind.Conflict, Errno.EBUSY, $"this userfaultfd is served by session {twin.Id} already", new RangeHolder(twin.Id, twin.Pid, twin.Tenant.Name, 0, 0)));
            }

            Publish(new SessionStarted(MonotonicClock.NowNanoseconds, session));
            return new AttachResult(session, null);
        }
        catch (SyscallException failure)
        {
            if (space is not null)
            {
                _registry.Leave(space);
            }

            if (counted)
            {
                request.Tenant.Usage.RemoveSession();
            }

            Discard(request);
            return new AttachResult(null, new EngineError(EngineErrorKind.Kernel, failure.Errno, failure.Message));
        }
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

    internal Session NewForkedSession(Session parent, SafeUffd uffd)
    {
        Session child = new(_registry.NextId(), uffd, parent.Loop, parent.Tenant, parent.DefaultPolicy, parent.Label, parent.Features, NewToken(), parent.Counters)
        {
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
        session.Space = _registry.EnterOn(session.Loop, session.Pid, session.ProcessStartTime);
        session.Space?.Sessions.Add(session);
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

    private void AdoptRegions(Session session, IReadOnlyList<VmaInfo> mappings)
    {
        foreach (VmaInfo mapping in mappings)
        {
            if (mapping.UffdModes == 0)
            {
                continue;
            }

            bool huge = mapping.PageSize != (ulong)PageSize.Base;
            session.Regions.Add(new Region
            {
                Start = mapping.Start,
                End = mapping.End,
                PageBytes = mapping.PageSize,
                Modes = mapping.UffdModes,
                Ioctls = UffdIoctls.Copy | UffdIoctls.Wake | (huge ? UffdIoctls.None : UffdIoctls.ZeroPage),
                Flags = RegionFlags.None,
                Policy = session.DefaultPolicy,
                Source = (session.DefaultPolicy.Source ?? ZeroSource.Instance).AddReference(),
                SourceOffset = 0,
                Generation = NextGeneration(),
            });
        }

        session.Tenant.Usage.ForceRegions(session.Regions.Count, (long)session.Regions.Bytes);
    }
}
