using UffdManager.Control;
using UffdManager.Daemon.Telemetry;
using UffdManager.Engine;
using UffdManager.Engine.Inspection;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Daemon.Inspection;

/// <content>Sessions and their regions.</content>
internal sealed partial class Inspector
{
    /// <summary>Sessions by id.</summary>
    /// <param name="filter">Which.</param>
    /// <param name="after">Only ids above this one.</param>
    /// <param name="limit">How many at most.</param>
    /// <param name="cancellationToken">Whoever asked has gone.</param>
    public async Task<SessionListDto> SessionsAsync(SessionFilter filter, long after, int limit, CancellationToken cancellationToken)
    {
        List<Session> found = [.. engine.Sessions().Where(session => session.Id > after && filter.Fits(session)).OrderBy(session => session.Id).Take(limit + 1)];
        ThrowIfStopping();
        bool isMore = found.Count > limit;
        if (isMore)
            found.RemoveAt(limit);
        IReadOnlyList<SessionReading> readings = await ReadAsync(found, cancellationToken);
        pump.Drain();
        return new SessionListDto { Sessions = [.. found.Zip(readings, Document)], Next = isMore ? found[^1].Id : null };
    }

    /// <summary>One session; null when there is none of this id.</summary>
    public async Task<SessionDto?> SessionAsync(long id, CancellationToken cancellationToken) =>
        engine.FindSession(id) is { } session ? await SessionAsync(session, cancellationToken) : null;

    public async Task<SessionDto> SessionAsync(Session session, CancellationToken cancellationToken)
    {
        IReadOnlyList<SessionReading> readings = await ReadAsync([session], cancellationToken);
        pump.Drain();
        return Document(session, readings[0]);
    }

    /// <summary>Regions of one session by address.</summary>
    /// <param name="session">Whose.</param>
    /// <param name="from">Those that end above this address.</param>
    /// <param name="limit">How many at most.</param>
    /// <param name="cancellationToken">Whoever asked has gone.</param>
    public async Task<RegionListDto> RegionsAsync(Session session, ulong from, int limit, CancellationToken cancellationToken)
    {
        List<RegionInfo> found = [.. await WithinAsync(engine.RegionsAsync(session, from, limit + 1), cancellationToken)];
        bool isMore = found.Count > limit;
        if (isMore)
            found.RemoveAt(limit);
        return new RegionListDto { Regions = [.. found.Select(region => Document(session.Id, region))], Next = isMore ? Words.Address(EndOf(found[^1])) : null };
    }

    /// <summary>Regions of all sessions, by session and address.</summary>
    /// <param name="filter">Which sessions.</param>
    /// <param name="after">Where to go on.</param>
    /// <param name="limit">How many at most.</param>
    /// <param name="cancellationToken">Whoever asked has gone.</param>
    public async Task<RegionListDto> RegionsAsync(SessionFilter filter, RegionCursor after, int limit, CancellationToken cancellationToken)
    {
        List<(long Session, RegionInfo Region)> found = [];
        List<Session> sessions = [.. engine.Sessions().Where(session => session.Id >= after.Session && filter.Fits(session)).OrderBy(session => session.Id)];
        ThrowIfStopping();
        foreach (Session session in sessions)
        {
            ulong from = session.Id == after.Session ? after.From : 0;
            foreach (RegionInfo region in await WithinAsync(engine.RegionsAsync(session, from, limit + 1 - found.Count), cancellationToken))
                found.Add((session.Id, region));
            if (found.Count > limit)
                break;
        }

        bool isMore = found.Count > limit;
        if (isMore)
            found.RemoveAt(limit);
        return new RegionListDto
        {
            Regions = [.. found.Select(region => Document(region.Session, region.Region))],
            Next = isMore ? new RegionCursor(found[^1].Session, EndOf(found[^1].Region)).ToString() : null,
        };
    }

    /// <summary>The page states of a region; null when no region holds the address.</summary>
    public static async Task<RegionMapDto?> MapAsync(Session session, ulong address, int cells, CancellationToken cancellationToken)
    {
        PageMap? map = await FaultEngine.MapAsync(session, address, cells, cancellationToken);
        return map is null ? null : new RegionMapDto
        {
            Session = session.Id,
            Start = Words.Address(map.Region.Start),
            Length = (long)map.Region.Length,
            PageBytes = (long)map.Region.PageBytes,
            Pages = map.Pages,
            Cells = map.Absent.Count,
            PagesPerCell = map.PagesPerCell,
            Absent = map.Absent,
            InFlight = map.InFlight,
            Present = map.Present,
            Removed = map.Removed,
            Poisoned = map.Poisoned,
            Evicted = new long[map.Absent.Count],
            Dirty = map.Dirty,
            Waited = map.Waited,
        };
    }

    /// <summary>The session of an id, for commands; null when there is none.</summary>
    public Session? Find(long id) => engine.FindSession(id);

    private SessionDto Document(Session session, SessionReading reading) => new()
    {
        Id = session.Id,
        Pid = session.Pid,
        Command = CommandOf(session.Pid),
        Tenant = session.Tenant.Name,
        Label = Words.Printable(session.Label),
        State = Words.Of(reading.State),
        Policy = session.DefaultPolicy.Name,
        PolicyVersion = session.DefaultPolicy.Version,
        Parent = session.ParentId == 0 ? null : session.ParentId,
        Keeper = session.HasKeeper,
        Features = Words.Of(session.Features),
        Loop = reading.Loop,
        StartedAt = Words.Time(WallClock.At(session.StartedAt, time)),
        UptimeSeconds = (MonotonicClock.NowNanoseconds - session.StartedAt) / 1e9,
        TrackedSince = reading.TrackedSince == 0 ? null : Words.Time(WallClock.At(reading.TrackedSince, time)),
        Work = reading.Work,
        Regions = reading.Regions,
        RegisteredBytes = (long)reading.RegisteredBytes,
        ResidentBytes = reading.ResidentBytes,
        Faults = reading.Faults,
        CopiedBytes = reading.CopiedBytes,
        ZeroedBytes = reading.ZeroedBytes,
        Deferrals = reading.Deferrals,
        PoisonedPages = reading.PoisonedPages,
        PagesInFlight = reading.PagesInFlight,
        Deferred = reading.Deferred,
        Latency = LatencyOf(session.Id),
    };

    /// <summary>Name of a process; null when it cannot be had.</summary>
    public static string? CommandOf(int pid) => pid != 0 && ProcessInfo.ReadComm(pid) is { } command ? Words.Printable(command) : null;

    private static ulong EndOf(RegionInfo region) => region.Start + region.Length;

    private static RegionDto Document(long session, RegionInfo region) => new()
    {
        Session = session,
        Start = Words.Address(region.Start),
        Length = (long)region.Length,
        PageBytes = (long)region.PageBytes,
        Modes = Words.Of(region.Modes),
        Flags = Words.Of(region.Flags),
        Policy = region.Policy,
        Source = Words.Printable(region.Source),
        SourceOffset = region.SourceOffset,
    };

    private LatencyDto? LatencyOf(long session)
    {
        if (statistics.OfSession(session) is not { } times)
            return statistics.HasRoom ? Latency(default(ServiceTimes)) : null;

        Span<uint> counts = stackalloc uint[CoarseHistogram.Buckets];
        times.CopyTo(counts);
        long total = CoarseHistogram.Total(counts);
        return new LatencyDto
        {
            Count = total,
            P50Nanoseconds = CoarseHistogram.Percentile(counts, total, 0.5),
            P90Nanoseconds = CoarseHistogram.Percentile(counts, total, 0.9),
            P99Nanoseconds = CoarseHistogram.Percentile(counts, total, 0.99),
            P999Nanoseconds = CoarseHistogram.Percentile(counts, total, 0.999),
        };
    }
}
