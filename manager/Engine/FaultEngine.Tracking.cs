using UffdManager.Engine.Loops;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;

namespace UffdManager.Engine;

/// <content>
/// Which pages change: every region is registered for write protection besides what its client asked for, which a holder of the userfaultfd may do whatever
/// features it was made with, and the first write of each page is noted. What was noted lies in the page table, so a successor goes on with it.
/// </content>
public sealed partial class FaultEngine
{
    /// <summary>Begins to note which pages of a session change.</summary>
    /// <returns>State (EALREADY) when it is tracked already; Kernel when its memory cannot be write-protected.</returns>
    /// <exception cref="ObjectDisposedException">The engine stops.</exception>
    public async Task<EngineResult> StartTrackingAsync(Session session)
    {
        ArgumentNullException.ThrowIfNull(session);
        using PresenceMap presence = PresenceMap.Of(session);
        if (IsAsynchronous(session) && presence.Pagemap is null)
        {
            return new EngineResult(NoPagemap(session, "the kernel would note the writes of this session itself (WP_ASYNC)"));
        }

        if (session.IsUserModeOnly && !IsAsynchronous(session))
        {
            return new EngineResult(UserModeOnly(session));
        }

        return await AloneAsync(session, "tracking is being started", async () =>
        {
            if (session.IsTracking)
            {
                return new EngineResult(new EngineError(EngineErrorKind.State, Errno.EALREADY, $"session {session.Id} is tracked already"));
            }

            StartTrackingCommand command = new(session, presence);
            EngineResult result = await RunAsync(session.Loop, command).ConfigureAwait(false);
            if (result.Error is not null)
            {
                _ = await RunAsync(session.Loop, new StopTrackingCommand(session)).ConfigureAwait(false);
            }

            return result;
        }).ConfigureAwait(false);
    }

    /// <summary>Ends it: nothing faults for it any more, what was noted is forgotten. Regions stay registered for write protection, which costs nothing.</summary>
    /// <returns>State (ENOENT) when it is not tracked.</returns>
    /// <exception cref="ObjectDisposedException">The engine stops.</exception>
    public static async Task<EngineResult> StopTrackingAsync(Session session)
    {
        ArgumentNullException.ThrowIfNull(session);
        return await AloneAsync(session, "tracking is being stopped", () => session.IsTracking
            ? RunAsync(session.Loop, new StopTrackingCommand(session))
            : Task.FromResult(NotTracked(session))).ConfigureAwait(false);
    }

    /// <summary>The pages whose contents changed since tracking began, or since they were told with a reset.</summary>
    /// <param name="session">Whose.</param>
    /// <param name="from">Pages from this address on.</param>
    /// <param name="limit">Runs at most.</param>
    /// <param name="reset">Whether pages that are told count as unchanged from then on. What an answer told that got lost is lost with it.</param>
    /// <exception cref="ObjectDisposedException">The engine stops.</exception>
    public static async Task<DirtyPages> DirtyPagesAsync(Session session, ulong from, int limit, bool reset)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        DirtyPagesCommand? command = null;
        bool isAsynchronous = IsAsynchronous(session);
        bool isToldOfUnmaps = (session.Features & UffdFeatures.EventUnmap) != 0;
        using PresenceMap? presence = isAsynchronous || reset || !isToldOfUnmaps ? PresenceMap.Of(session) : null;
        if (isAsynchronous && presence!.Pagemap is null)
        {
            return new DirtyPages([], null, NoPagemap(session, "the kernel notes the writes of this session itself (WP_ASYNC)"));
        }

        if (presence is not null)
        {
            // Parts of a list that come before this one had their own look.
            presence.HolesKnownBelow = from;
        }

        Task<EngineResult> work = AloneAsync(session, "its changed pages are being listed", () =>
        {
            if (!session.IsTracking)
            {
                return Task.FromResult(NotTracked(session));
            }

            if (!isToldOfUnmaps && presence is { HasMappings: false })
            {
                return Task.FromResult(new EngineResult(new EngineError(
                    EngineErrorKind.Kernel,
                    Errno.EACCES,
                    $"the userfaultfd of session {session.Id} does not tell what is mapped over, and /proc/{session.Pid}/maps cannot be read: it takes the right to trace the process (CAP_SYS_PTRACE, or its user id)")));
            }

            command = new DirtyPagesCommand(session, from, limit, reset, presence, isAsynchronous);
            return RunAsync(session.Loop, command);
        });
        await ((Task)work).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        // What was told with a reset counts as unchanged already: it must not be lost for what comes after it, nor when the engine stops meanwhile. Whoever asks for the rest hears why there is none.
        if (command is { IsReset: true, Runs.Count: > 0 } && (!work.IsCompletedSuccessfully || work.Result.Error is not null))
        {
            return new DirtyPages(command.Runs, command.Cursor, null);
        }

        EngineResult result = await work.ConfigureAwait(false);
        return new DirtyPages(command?.Runs ?? [], command?.Next, result.Error);
    }

    /// <summary>How a session is tracked; null when it is not.</summary>
    /// <exception cref="ObjectDisposedException">The engine stops.</exception>
    public static Task<TrackingStatus?> TrackingAsync(Session session)
    {
        ArgumentNullException.ThrowIfNull(session);
        return RunAsync(session.Loop, _ =>
        {
            if (session.TrackedSince == 0)
            {
                return null;
            }

            ulong tracked = 0;
            foreach (Region region in session.Regions.All)
            {
                tracked += region.IsTracked ? region.Length : 0;
            }

            return new TrackingStatus(session.TrackedSince, IsAsynchronous(session), tracked, session.Regions.Bytes - tracked);
        });
    }

    internal static bool IsAsynchronous(Session session) => (session.Features & UffdFeatures.WpAsync) != 0;

    // One operator's work at a time: two of them would undo each other's protection.
    private static async Task<EngineResult> AloneAsync(Session session, string what, Func<Task<EngineResult>> work)
    {
        EngineResult claim = await RunAsync(session.Loop, _ =>
        {
            if (session.State != SessionState.Serving)
            {
                return new EngineResult(new EngineError(EngineErrorKind.State, Errno.ESRCH, $"session {session.Id} is not being served"));
            }

            if (session.Work is string other)
            {
                return new EngineResult(new EngineError(EngineErrorKind.State, Errno.EBUSY, $"session {session.Id}: {other}; ask again when that is over"));
            }

            session.Work = what;
            return EngineResult.Success;
        }).ConfigureAwait(false);
        if (claim.Error is not null)
        {
            return claim;
        }

        try
        {
            return await work().ConfigureAwait(false);
        }
        finally
        {
            session.Loop.Post(new LoopCommand<bool>(_ => (session.Work = null) is null));
        }
    }

    // The file belongs to the owner of the process: the right to trace it is not enough.
    private static EngineError NoPagemap(Session session, string why) => new(
        EngineErrorKind.Kernel,
        Errno.EACCES,
        $"{why}, and /proc/{session.Pid}/pagemap cannot be read: it takes CAP_DAC_READ_SEARCH for the processes of other users, or their user id");

    // Such a userfaultfd is not told of what the kernel does for the program.
    private static EngineError UserModeOnly(Session session) => new(
        EngineErrorKind.Kernel,
        Errno.EOPNOTSUPP,
        $"the userfaultfd of session {session.Id} is for faults of user mode only (UFFD_USER_MODE_ONLY): the program's system calls, like read(2), would fail with EFAULT at every page that is protected");

    private static EngineResult NotTracked(Session session) =>
        new(new EngineError(EngineErrorKind.State, Errno.ENOENT, $"session {session.Id} is not tracked"));

    private static Task<EngineResult> RunAsync(FaultLoop loop, SlicedCommand command)
    {
        loop.Post(command);
        return command.Task;
    }
}
