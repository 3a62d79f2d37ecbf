using UffdManager.Engine.Inspection;
using UffdManager.Engine.Loops;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Engine;

/// <content>
/// What an operator looks at. A loop answers in slices, between which it serves faults: none of them waits for longer than a slice, about
/// 50 microseconds, however large a session is.
/// </content>
public sealed partial class FaultEngine
{
    // A reading is a dozen loads; a region is copied with the text of its source.
    private const int SessionsPerSlice = 128;
    private const int RegionsPerSlice = 128;

    /// <summary>The session of an id; null when there is none. Any thread.</summary>
    public Session? FindSession(long id) => _registry.Find(id);

    /// <summary>The numbers of many sessions, in their order; those that are over meanwhile have their last ones.</summary>
    /// <exception cref="ObjectDisposedException">The engine stops.</exception>
    public async Task<IReadOnlyList<SessionReading>> ReadAsync(IReadOnlyList<Session> sessions)
    {
        ArgumentNullException.ThrowIfNull(sessions);
        SessionReading[] readings = new SessionReading[sessions.Count];
        int[][] byLoop = [.. Enumerable.Range(0, sessions.Count).GroupBy(i => sessions[i].Loop.Index, (_, indexes) => indexes.ToArray())];
        await Task.WhenAll(byLoop.Select(ReadOfLoopAsync)).ConfigureAwait(false);
        return readings;

        async Task ReadOfLoopAsync(int[] indexes)
        {
            FaultLoop loop = sessions[indexes[0]].Loop;
            foreach (int[] slice in indexes.Chunk(SessionsPerSlice))
            {
                _ = await RunAsync(loop, _ =>
                {
                    foreach (int i in slice)
                    {
                        readings[i] = SessionReading.Of(sessions[i]);
                    }

                    return true;
                }).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Regions of a session, by address.</summary>
    /// <param name="session">Whose.</param>
    /// <param name="from">Regions that end above this address.</param>
    /// <param name="limit">How many at most.</param>
    /// <exception cref="ObjectDisposedException">The engine stops.</exception>
    public async Task<IReadOnlyList<RegionInfo>> RegionsAsync(Session session, ulong from, int limit)
    {
        ArgumentNullException.ThrowIfNull(session);
        List<RegionInfo> regions = [];
        int wanted;
        do
        {
            wanted = Math.Min(RegionsPerSlice, limit - regions.Count);
            int had = regions.Count;
            _ = await RunAsync(session.Loop, _ =>
            {
                while (regions.Count - had < wanted && session.Regions.FindOverlap(from, ulong.MaxValue) is Region region)
                {
                    regions.Add(InfoOf(region));
                    from = region.End;
                }

                return true;
            }).ConfigureAwait(false);
            wanted -= regions.Count - had;
        }
        while (wanted == 0 && regions.Count < limit);
        return regions;
    }

    /// <summary>What is known of the pages of a region.</summary>
    /// <param name="session">Whose.</param>
    /// <param name="address">An address in the region.</param>
    /// <param name="cells">Equal parts to count in, 1 to <see cref="PageMap.MaximumCells"/>; fewer when the region has fewer pages.</param>
    /// <param name="cancellationToken">Ends the walk, which may take as long as the table is large.</param>
    /// <returns>Null when no region holds the address.</returns>
    /// <exception cref="ObjectDisposedException">The engine stops.</exception>
    public static async Task<PageMap?> MapAsync(Session session, ulong address, int cells, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentOutOfRangeException.ThrowIfLessThan(cells, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(cells, PageMap.MaximumCells);
        PageMap? map = await RunAsync(session.Loop, _ => session.Regions.Find(address) is Region region ? new PageMap(InfoOf(region), cells) : null).ConfigureAwait(false);
        while (map is not null && !await RunAsync(session.Loop, _ => map.TryFinish(session, MonotonicClock.NowNanoseconds)).ConfigureAwait(false))
        {
            cancellationToken.ThrowIfCancellationRequested();
        }

        return map;
    }

    /// <summary>
    /// Kills the process of a session on behalf of an operator. The session ends when the process is gone.
    /// </summary>
    /// <returns>Success also for one that is condemned already; else that the process is unknown, or that it may not be killed (EPERM).</returns>
    /// <exception cref="ObjectDisposedException">The engine stops.</exception>
    public static Task<EngineResult> KillAsync(Session session)
    {
        ArgumentNullException.ThrowIfNull(session);
        return RunAsync(session.Loop, loop =>
        {
            if (session.State != SessionState.Ended && session.PidFd is null)
            {
                return new EngineResult(new EngineError(EngineErrorKind.State, Errno.ESRCH, "the process of this forked child is not known yet; it is once it faults or says who it is"));
            }

            EngineResult result = loop.TryEnd(session, EndMode.Kill, last: true)!;
            return session.CannotBeKilled
                ? new EngineResult(new EngineError(EngineErrorKind.Kernel, Errno.EPERM, $"pid {session.Pid} may not be killed by this daemon (CAP_KILL is missing); pages that it touches from now on are poisoned"))
                : result;
        });
    }

    private static RegionInfo InfoOf(Region region) => new(
        region.Start,
        region.Length,
        region.PageBytes,
        region.Modes,
        region.Flags,
        region.Policy.Name,
        region.Image?.Name ?? region.Source.Description,
        region.SourceOffset);
}
