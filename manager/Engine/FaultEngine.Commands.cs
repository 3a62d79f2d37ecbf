using UffdManager.Engine.Loops;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine;

/// <content>What a session's owner may ask for.</content>
public sealed partial class FaultEngine
{
    // A client whose thread is stopped in the middle of an munmap holds the change open, also at its end.
    private const long EndPatience = 1_000_000_000;

    /// <summary>Puts a range under the manager. <see cref="EngineResult.Value"/>: the ioctls that the kernel returned.</summary>
    public async Task<EngineResult> RegisterAsync(Session session, RegisterRequest request)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(request);
        if (RegisterChecks.Validate(session, request) is EngineError invalid)
        {
            return new EngineResult(invalid);
        }

        EngineResult result;
        PageSource? held = null;
        SharedImage? heldImage = null;
        try
        {
            // The last reference may be dropped by somebody else while the command is on its way.
            held = (request.Source ?? request.Policy.Source)?.AddReference();
            heldImage = request.Image?.AddReference();
            RetryCommand<EngineResult> command = new((loop, last) => loop.TryRegister(session, request, last), (long)_options.RegisterPatience.TotalNanoseconds);
            session.Loop.Post(command);
            result = await command.Task.ConfigureAwait(false);
        }
        catch (ObjectDisposedException)
        {
            return new EngineResult(new EngineError(EngineErrorKind.Source, Errno.ESTALE, "the source was given up meanwhile, or the manager stops"));
        }
        finally
        {
            held?.Dispose();
            heldImage?.Dispose();
        }

        if (result.Error?.Holder is not { SessionId: 0 } outside)
        {
            return result;
        }

        // The kernel knows a holder and this loop does not. Children that were forked and are not yet identified may hold it, and
        // sessions of one process that came to live on different loops.
        RangeHolder holder = await FindHolderElsewhereAsync(session, request).ConfigureAwait(false) ?? outside;
        Publish(new RangeConflict(MonotonicClock.NowNanoseconds, session, request.Start, request.Length, holder));
        return new EngineResult(result.Error with { Holder = holder, Text = RegisterChecks.ConflictText(request, holder) });
    }

    /// <summary>Ends the manager's care of a range: pages that are missing read as zeros from then on.</summary>
    public Task<EngineResult> UnregisterAsync(Session session, ulong start, ulong length)
    {
        ArgumentNullException.ThrowIfNull(session);
        return RunAsync(session.Loop, loop => loop.Unregister(session, start, length));
    }

    /// <summary>Fills a range ahead of its faults. <see cref="EngineResult.Value"/>: bytes installed.</summary>
    public async Task<EngineResult> PrefetchAsync(Session session, ulong start, ulong length)
    {
        ArgumentNullException.ThrowIfNull(session);
        TaskCompletionSource<EngineResult> completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
        EngineResult began = await RunAsync(session.Loop, loop => loop.BeginPopulate(session, start, length, completion)).ConfigureAwait(false);
        return began.Error is null ? await completion.Task.ConfigureAwait(false) : began;
    }

    /// <summary>
    /// Wakes those who wait in a range; a page that is still missing is reported again. Start 0 with length 0 means everything, and ends
    /// the adoption of an adopted session.
    /// </summary>
    public Task<EngineResult> WakeAsync(Session session, ulong start, ulong length)
    {
        ArgumentNullException.ThrowIfNull(session);
        return RunAsync(session.Loop, loop => loop.Wake(session, start, length));
    }

    /// <summary>Arms or lifts write protection. The range must be registered with the mode WriteProtect.</summary>
    public Task<EngineResult> WriteProtectAsync(Session session, ulong start, ulong length, bool protect)
    {
        ArgumentNullException.ThrowIfNull(session);
        WriteProtectCommand command = new(session, start, length, protect);
        session.Loop.Post(command);
        return command.Task;
    }

    /// <summary>A session's numbers.</summary>
    public Task<SessionStatus> StatusAsync(Session session)
    {
        ArgumentNullException.ThrowIfNull(session);
        return RunAsync(session.Loop, _ => new SessionStatus(
            session,
            MonotonicClock.NowNanoseconds - session.StartedAt,
            session.Regions.Count,
            session.Regions.Bytes,
            session.ResidentBytes,
            session.FaultCount,
            session.CopiedBytes,
            session.ZeroedBytes,
            session.DeferralCount,
            session.PoisonedPages,
            session.Tickets.Sum(ticket => ticket.PageCount)));
    }

    /// <summary>A session's regions, by address.</summary>
    public Task<IReadOnlyList<RegionInfo>> RegionsAsync(Session session)
    {
        ArgumentNullException.ThrowIfNull(session);
        return RunAsync<IReadOnlyList<RegionInfo>>(session.Loop, _ => [.. session.Regions.All.Select(region => new RegionInfo(
            region.Start,
            region.Length,
            region.PageBytes,
            region.Modes,
            region.Flags,
            region.Policy.Name,
            region.Image?.Name ?? region.Source.Description,
            region.SourceOffset))]);
    }

    /// <summary>Ends a session whose process lives. A killed one ends when its process is gone.</summary>
    public Task<EngineResult> EndAsync(Session session, EndMode mode)
    {
        ArgumentNullException.ThrowIfNull(session);
        RetryCommand<EngineResult> command = new((loop, last) => loop.TryEnd(session, mode, last), EndPatience);
        session.Loop.Post(command);
        return command.Task;
    }

    private async Task<RangeHolder?> FindHolderElsewhereAsync(Session claimant, RegisterRequest request)
    {
        ulong end = request.Start + request.Length;
        _ = ProcessInfo.TryReadParent(claimant.Pid, out int parent);
        foreach (FaultLoop loop in _loops)
        {
            RangeHolder? holder = await RunAsync(loop, it => it.FindHolder(claimant, parent, request.Start, end)).ConfigureAwait(false);
            if (holder is not null)
            {
                return holder;
            }
        }

        return null;
    }
}
