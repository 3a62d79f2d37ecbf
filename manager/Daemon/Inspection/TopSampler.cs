using System.Runtime.CompilerServices;
using UffdManager.Control;
using UffdManager.Daemon.Telemetry;
using UffdManager.Engine;
using UffdManager.Engine.Inspection;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Daemon.Inspection;

/// <summary>What happened in each of a row of intervals. Costs nothing while nobody reads; each reader measures for himself.</summary>
internal sealed class TopSampler(FaultEngine engine, FaultSamplePump pump, FaultStatistics statistics, LoopSampler loops, Inspector inspector, TimeProvider time)
{
    /// <summary>Frames without end, the first after the first interval.</summary>
    /// <param name="interval">Time between two.</param>
    /// <param name="tenant">Only this tenant and its sessions; null for all.</param>
    /// <param name="limit">Sessions in a frame: the busiest.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public async IAsyncEnumerable<TopFrameDto> SampleAsync(
        TimeSpan interval, string? tenant, int limit, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using PeriodicTimer timer = new(interval, time);
        SessionFilter filter = new(tenant);
        Reading before = await ReadAsync(filter, cancellationToken);
        while (await timer.WaitForNextTickAsync(cancellationToken))
        {
            Reading now = await ReadAsync(filter, cancellationToken);
            yield return Compare(before, now, limit);
            before = now;
        }
    }

    private async Task<Reading> ReadAsync(SessionFilter filter, CancellationToken cancellationToken)
    {
        pump.Drain();
        Session[] sessions = [.. engine.Sessions().Where(filter.Fits)];
        IReadOnlyList<SessionReading> readings = await inspector.ReadAsync(sessions, cancellationToken);
        Dictionary<long, SessionAt> bySession = new(sessions.Length);
        for (int i = 0; i < sessions.Length; i++)
            bySession.Add(sessions[i].Id, new SessionAt(sessions[i], readings[i], Copy(statistics.OfSession(sessions[i].Id))));

        List<TenantAt> tenants = [.. engine.Counters()
            .Where(counters => filter.Tenant is null || counters.Tenant.Equals(filter.Tenant, StringComparison.OrdinalIgnoreCase))
            .GroupBy(counters => counters.Tenant, StringComparer.OrdinalIgnoreCase)
            .Select(group => new TenantAt(group.Key, [.. group], Copy(statistics.OfTenant(group.Key))))
            .OrderBy(at => at.Name, StringComparer.Ordinal)];
        return new Reading(MonotonicClock.NowNanoseconds, loops.Read(), tenants, bySession);
    }

    private TopFrameDto Compare(Reading before, Reading now, int limit)
    {
        double seconds = Math.Max(1, now.At - before.At) / 1e9;
        Dictionary<string, TenantAt> then = before.Tenants.ToDictionary(at => at.Name, StringComparer.OrdinalIgnoreCase);
        IReadOnlyList<LoopSampler.LoopRate> rates = LoopSampler.Between(before.Loops, now.Loops);
        return new TopFrameDto
        {
            At = Words.Time(time.GetUtcNow()),
            IntervalSeconds = seconds,
            Phase = inspector.Phase,
            Total = Document("", now.Tenants, [.. now.Tenants.Select(at => then.GetValueOrDefault(at.Name))], seconds),
            Tenants = [.. now.Tenants.Select(at => Document(at.Name, [at], [then.GetValueOrDefault(at.Name)], seconds))],
            Sessions = [.. now.Sessions.Values
                .Select(at => (Now: at, Then: before.Sessions.GetValueOrDefault(at.Session.Id)))
                .OrderByDescending(pair => pair.Now.Reading.Faults - (pair.Then?.Reading.Faults ?? 0))
                .ThenByDescending(pair => pair.Now.Reading.ResidentBytes)
                .ThenBy(pair => pair.Now.Session.Id)
                .Take(limit)
                .Select(pair => Document(pair.Now, pair.Then, seconds))],
            Loops = [.. now.Loops.Loops.Zip(rates, (loop, rate) => new TopLoopDto { Index = loop.Index, Sessions = loop.Sessions, BusyRatio = Math.Round(rate.BusyRatio, 4) })],
        };
    }

    private static TopTenantDto Document(string name, IReadOnlyList<TenantAt> now, IReadOnlyList<TenantAt?> then, double seconds)
    {
        Span<uint> counts = stackalloc uint[CoarseHistogram.Buckets];
        counts.Clear();
        for (int i = 0; i < now.Count; i++)
            AddDifference(counts, now[i].Times, then[i]?.Times);
        long total = CoarseHistogram.Total(counts);
        return new TopTenantDto
        {
            Name = name,
            Sessions = Sum(now, counters => counters.Sessions),
            FaultsPerSecond = Rate(Inspector.FaultsOf),
            P50Nanoseconds = CoarseHistogram.Percentile(counts, total, 0.5),
            P99Nanoseconds = CoarseHistogram.Percentile(counts, total, 0.99),
            CopiedBytesPerSecond = Rate(counters => counters.CopiedBytes),
            ZeroedBytesPerSecond = Rate(counters => counters.ZeroedBytes),
            DeferralsPerSecond = Rate(Inspector.DeferralsOf),
            RegisteredBytes = Sum(now, counters => counters.RegisteredBytes),
            ResidentBytes = Sum(now, counters => counters.ResidentBytes),
            PagesInFlight = Sum(now, counters => counters.PagesInFlight),
            Queue = Sum(now, counters => counters.FetchesInFlight),
        };

        double Rate(Func<TenantSnapshot, long> counter) => PerSecond(Sum(now, counter) - Sum([.. then.OfType<TenantAt>()], counter), seconds);
    }

    private static TopSessionDto Document(SessionAt now, SessionAt? then, double seconds)
    {
        Span<uint> counts = stackalloc uint[CoarseHistogram.Buckets];
        counts.Clear();
        AddDifference(counts, now.Times, then?.Times);
        long total = CoarseHistogram.Total(counts);

        // A session that is new has done all that it did within the interval.
        SessionReading before = then?.Reading ?? default;
        return new TopSessionDto
        {
            Id = now.Session.Id,
            Pid = now.Session.Pid,
            Command = Inspector.CommandOf(now.Session.Pid),
            Label = Words.Printable(now.Session.Label),
            Tenant = now.Session.Tenant.Name,
            Policy = now.Session.DefaultPolicy.Name,
            State = Words.Of(now.Reading.State),
            FaultsPerSecond = PerSecond(now.Reading.Faults - before.Faults, seconds),
            P50Nanoseconds = CoarseHistogram.Percentile(counts, total, 0.5),
            P99Nanoseconds = CoarseHistogram.Percentile(counts, total, 0.99),
            CopiedBytesPerSecond = PerSecond(now.Reading.CopiedBytes - before.CopiedBytes, seconds),
            ZeroedBytesPerSecond = PerSecond(now.Reading.ZeroedBytes - before.ZeroedBytes, seconds),
            DeferralsPerSecond = PerSecond(now.Reading.Deferrals - before.Deferrals, seconds),
            Regions = now.Reading.Regions,
            RegisteredBytes = (long)now.Reading.RegisteredBytes,
            ResidentBytes = now.Reading.ResidentBytes,
            PagesInFlight = now.Reading.PagesInFlight,
            Queue = now.Reading.Deferred,
        };
    }

    private static long Sum(IReadOnlyList<TenantAt> tenants, Func<TenantSnapshot, long> value) => tenants.Sum(tenant => tenant.Counters.Sum(value));

    private static double PerSecond(long difference, double seconds) => Math.Round(Math.Max(0, difference) / seconds, 1);

    private static uint[]? Copy(CoarseHistogram? times)
    {
        if (times is null)
            return null;
        uint[] counts = new uint[CoarseHistogram.Buckets];
        times.CopyTo(counts);
        return counts;
    }

    private static void AddDifference(Span<uint> counts, uint[]? now, uint[]? then)
    {
        if (now is null)
            return;
        for (int i = 0; i < counts.Length; i++)
            counts[i] += now[i] - (then?[i] ?? 0);
    }

    private sealed record TenantAt(string Name, IReadOnlyList<TenantSnapshot> Counters, uint[]? Times);

    private sealed record SessionAt(Session Session, SessionReading Reading, uint[]? Times);

    private sealed record Reading(long At, LoopSampler.Reading Loops, IReadOnlyList<TenantAt> Tenants, Dictionary<long, SessionAt> Sessions);
}
