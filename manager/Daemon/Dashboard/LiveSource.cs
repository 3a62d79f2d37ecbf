using System.Runtime.CompilerServices;
using UffdManager.Control;
using UffdManager.Daemon.Inspection;
using UffdManager.Daemon.Telemetry;
using UffdManager.Engine;
using UffdManager.Engine.Inspection;
using UffdManager.Engine.Sessions;

namespace UffdManager.Daemon.Dashboard;

/// <summary>The page's data from the read model of the control API.</summary>
internal sealed class LiveSource(Inspector inspector, TopSampler sampler, FaultEngine engine, DashboardAssets assets, TimeProvider time) : ILiveSource
{
    // Slots of the history that a frame repeats: a page may have missed the frame in which one of them ended.
    private const int NewestSlots = 4;

    private readonly string _startedAt = Words.Time(time.GetUtcNow());

    /// <inheritdoc/>
    public LiveHello Hello => new()
    {
        Assets = assets.Fingerprint,
        Version = ProcessMetrics.Version,
        Pid = Environment.ProcessId,
        StartedAt = _startedAt,
        Host = Environment.MachineName,
        Kernel = ProcessMetrics.KernelRelease(),
        IntervalSeconds = DashboardLimits.Interval.TotalSeconds,
    };

    /// <inheritdoc/>
    public async IAsyncEnumerable<LiveSample> SampleAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (TopFrameDto top in sampler.SampleAsync(DashboardLimits.Interval, tenant: null, DashboardLimits.Sessions, cancellationToken))
        {
            StatusDto status = await inspector.StatusAsync(cancellationToken);
            LatencyHistoryDto latency = inspector.LatencyHistory(tenant: null);
            yield return new LiveSample(Frame(top, status, inspector.Tenants().Tenants, latency), latency);
        }
    }

    /// <inheritdoc/>
    public async Task<SessionMemory?> MemoryAsync(long session, int page, CancellationToken cancellationToken)
    {
        if (inspector.Find(session) is not { } found)
            return null;

        SessionDto document = await inspector.SessionAsync(found, cancellationToken);
        int first = page * DashboardLimits.RegionsPerPage;
        int wanted = first + DashboardLimits.RegionsPerPage;
        IReadOnlyList<RegionInfo> regions = await engine.RegionsAsync(found, from: 0, wanted + 1).WaitAsync(Patience, time, cancellationToken);
        List<RegionMemory> shown = [];
        long begin = time.GetTimestamp();
        foreach (RegionInfo region in regions.Take(wanted).Skip(first))
            shown.Add(Document(region, await MapAsync(found, region.Start, DashboardLimits.MemoryWork - time.GetElapsedTime(begin), cancellationToken)));

        return new SessionMemory
        {
            At = Words.Time(time.GetUtcNow()),
            Session = document,
            TakenOver = string.CompareOrdinal(document.StartedAt, _startedAt) < 0,
            First = first,
            Regions = shown,
            IsMore = regions.Count > wanted,
        };
    }

    private static TimeSpan Patience => TimeSpan.FromSeconds(5);

    // Null when it takes too long, or the region has gone meanwhile.
    private static async Task<PageMap?> MapAsync(Session session, ulong start, TimeSpan left, CancellationToken cancellationToken)
    {
        if (left <= TimeSpan.Zero)
            return null;

        using CancellationTokenSource end = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        end.CancelAfter(left);
        try
        {
            return await FaultEngine.MapAsync(session, start, DashboardLimits.Cells, end.Token).WaitAsync(left + Patience, cancellationToken);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return null;
        }
    }

    private static LiveFrame Frame(TopFrameDto top, StatusDto status, IReadOnlyList<TenantDto> tenants, LatencyHistoryDto latency) => new()
    {
        At = top.At,
        IntervalSeconds = top.IntervalSeconds,
        Status = new LiveStatus
        {
            Phase = status.Phase,
            UptimeSeconds = status.UptimeSeconds,
            Complaints = status.Complaints,
            Losses = status.Losses,
            Restored = status.Restored,
            Kept = status.DescriptorStore.Kept,
            Drain = status.Drain,
        },
        Totals = status.Totals,
        Total = top.Total,
        Tenants = Shown(tenants, top.Tenants),
        OtherTenants = Math.Max(0, tenants.Count - DashboardLimits.Tenants),
        Sessions = top.Sessions,
        OtherSessions = Math.Max(0, top.Total.Sessions - top.Sessions.Count),
        Loops = status.Loops,
        Latency = [.. latency.Slots.TakeLast(NewestSlots)],
    };

    private static IReadOnlyList<LiveTenant> Shown(IReadOnlyList<TenantDto> tenants, IReadOnlyList<TopTenantDto> rates)
    {
        Dictionary<string, TopTenantDto> byName = rates.DistinctBy(tenant => tenant.Name, StringComparer.OrdinalIgnoreCase)
            .ToDictionary(tenant => tenant.Name, StringComparer.OrdinalIgnoreCase);
        IEnumerable<LiveTenant> documents = tenants.Select(tenant => new LiveTenant
        {
            Name = tenant.Name,
            Configured = tenant.Configured,
            Limits = tenant.Limits,
            Usage = tenant.Usage,
            Rates = byName.GetValueOrDefault(tenant.Name),
        });
        return [.. documents.OrderByDescending(tenant => tenant.Rates?.FaultsPerSecond ?? 0).ThenByDescending(tenant => tenant.Usage.Sessions)
            .Take(DashboardLimits.Tenants).OrderBy(tenant => tenant.Name, StringComparer.Ordinal)];
    }

    private static RegionMemory Document(RegionInfo region, PageMap? map) => new()
    {
        Length = (long)region.Length,
        PageBytes = (long)region.PageBytes,
        Modes = Words.Of(region.Modes),
        Policy = region.Policy,
        Source = Words.Printable(region.Source[(region.Source.LastIndexOf('/') + 1)..]),
        Pages = (long)(region.Length / region.PageBytes),
        Cells = map?.Present.Count ?? 0,
        PagesPerCell = map?.PagesPerCell ?? 0,
        InFlight = Counts(map?.InFlight),
        Present = Counts(map?.Present),
        Removed = Counts(map?.Removed),
        Poisoned = Counts(map?.Poisoned),
        Evicted = [],
    };

    private static IReadOnlyList<long> Counts(IReadOnlyList<long>? counts) => counts is null || counts.All(count => count == 0) ? [] : counts;
}
