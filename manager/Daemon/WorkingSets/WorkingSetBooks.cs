using UffdManager.Control;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Telemetry;
using UffdManager.Engine;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.WorkingSets;

namespace UffdManager.Daemon.WorkingSets;

/// <summary>Working sets as operators see them: those in use, and those that lie on the disk of a source that somebody names.</summary>
internal sealed class WorkingSetBooks(FaultEngine engine, ConfigurationInUse inUse)
{
    private const int HugePageBytes = 2 << 20;

    // Whoever asks waits for what the tenant's store does already.
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(5);
    private static readonly int[] s_pageSizes = [Environment.SystemPageSize, HugePageBytes];
    private static readonly string[] s_outcomes = SnakeCase.NamesOf<ReplayOutcome>();

    /// <summary>Those that runs have used since the daemon began.</summary>
    public IReadOnlyList<WorkingSetDto> InUse(string? tenant) => Documents(engine.ReadWorkingSets().Where(set => tenant is null || set.Key.Tenant == tenant));

    /// <summary>Those of one source.</summary>
    /// <param name="source">The source.</param>
    /// <param name="location">Where its file is.</param>
    /// <param name="tenant">Of this tenant only, or of all when null.</param>
    /// <param name="cancel">Gives up waiting.</param>
    /// <exception cref="TimeoutException">The store of a tenant does not answer.</exception>
    public async Task<IReadOnlyList<WorkingSetDto>> OfAsync(SourceIdentity source, string? location, string? tenant, CancellationToken cancel)
    {
        List<WorkingSetReading> found = [];
        foreach (TraceKey key in KeysOf(source, tenant))
        {
            if (await engine.LookAtWorkingSetAsync(key, location).WaitAsync(s_patience, cancel) is { } reading)
                found.Add(reading);
        }

        return Documents(found);
    }

    /// <summary>Forgets those of one source.</summary>
    /// <param name="source">The source.</param>
    /// <param name="location">Where its file is.</param>
    /// <param name="tenant">Of this tenant only, or of all when null.</param>
    /// <param name="cancel">Gives up waiting.</param>
    /// <returns>How many there were.</returns>
    /// <exception cref="TimeoutException">The store of a tenant does not answer.</exception>
    public async Task<int> ForgetAsync(SourceIdentity source, string? location, string? tenant, CancellationToken cancel)
    {
        int forgotten = 0;
        foreach (TraceKey key in KeysOf(source, tenant))
            forgotten += await engine.ForgetWorkingSetAsync(key, location).WaitAsync(s_patience, cancel) ? 1 : 0;
        return forgotten;
    }

    // A tenant that the configuration has no more may have runs still.
    private IEnumerable<TraceKey> KeysOf(SourceIdentity source, string? tenant) =>
        from name in inUse.Now.Loaded.Value!.Tenants.Keys.Union(engine.ReadWorkingSets().Where(set => set.Key.Source == source).Select(set => set.Key.Tenant))
        where tenant is null || name == tenant
        from pageBytes in s_pageSizes
        select new TraceKey(name, source, pageBytes);

    private static IReadOnlyList<WorkingSetDto> Documents(IEnumerable<WorkingSetReading> readings) =>
    [
        .. readings.OrderBy(set => set.Location, StringComparer.Ordinal).ThenBy(set => set.Key.Tenant, StringComparer.Ordinal).ThenBy(set => set.Key.PageBytes).Select(Document),
    ];

    private static WorkingSetDto Document(WorkingSetReading set) => new()
    {
        Tenant = set.Key.Tenant,
        Path = set.Location,
        PageBytes = set.Key.PageBytes,
        KnownBytes = (long)set.KnownPages * set.Key.PageBytes,
        ReplayedBytes = (long)set.ReplayedPages * set.Key.PageBytes,
        Runs = set.Runs,
        ObservedSeconds = set.Observed.TotalSeconds,
        NextRun = set.ReplayedPages > 0 ? "replay" : "record",
        LiveRuns = set.LiveRuns,
        LastOutcome = set.Totals.Last is { } last ? s_outcomes[(int)last] : null,
        Outcomes = Enum.GetValues<ReplayOutcome>().ToDictionary(outcome => s_outcomes[(int)outcome], set.Totals.Runs),
        PrefetchedBytes = BytesOf(set, ReplayPages.Installed),
        UsedBytes = BytesOf(set, ReplayPages.Used),
        WastedBytes = BytesOf(set, ReplayPages.Wasted),
        LateBytes = BytesOf(set, ReplayPages.Late),
        MissedBytes = BytesOf(set, ReplayPages.Missed),
    };

    private static long BytesOf(WorkingSetReading set, ReplayPages kind) => set.Totals.Pages(kind) * Environment.SystemPageSize;
}
