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
    /// <summary>What to do when a store does not answer.</summary>
    public const string Remedy = "look for a file system that hangs, below workingSets.directory or beside the tenant's images; nobody's faults wait for it";

    private const int HugePageBytes = 2 << 20;

    private static readonly int[] s_pageSizes = [Environment.SystemPageSize, HugePageBytes];
    private static readonly string[] s_outcomes = SnakeCase.NamesOf<ReplayOutcome>();

    /// <summary>How long one waits for what the tenants' stores do already.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Those that runs have used since the daemon began.</summary>
    public IReadOnlyList<WorkingSetDto> InUse(string? tenant) => Documents(engine.ReadWorkingSets().Where(set => tenant is null || set.Key.Tenant == tenant));

    /// <summary>Those of one source, of every tenant whose store answers in time.</summary>
    /// <param name="source">The source.</param>
    /// <param name="location">Where its file is.</param>
    /// <param name="tenant">Of this tenant only, or of all when null.</param>
    /// <param name="cancel">Gives up waiting.</param>
    public async Task<WorkingSetListDto> OfAsync(SourceIdentity source, string? location, string? tenant, CancellationToken cancel)
    {
        (TraceKey Key, Task<WorkingSetReading?> Look)[] looks = [.. KeysOf(source, tenant).Select(key => (key, engine.LookAtWorkingSetAsync(key, location)))];
        await WaitForAllAsync(looks.Select(look => look.Look), cancel);
        List<WorkingSetReading> found = [];
        foreach ((_, Task<WorkingSetReading?> look) in looks.Where(look => look.Look.IsCompleted))
        {
            if (await look is { } reading)
                found.Add(reading);
        }

        string[] silent = SilentOf(looks);
        return new WorkingSetListDto { WorkingSets = Documents(found), Problem = silent.Length == 0 ? null : $"{SilenceOf(silent)}: {Remedy}" };
    }

    /// <summary>Forgets those of one source.</summary>
    /// <param name="source">The source.</param>
    /// <param name="location">Where its file is.</param>
    /// <param name="tenant">Of this tenant only, or of all when null.</param>
    /// <param name="cancel">Gives up waiting.</param>
    /// <returns>How many there were, and whose may be there still because their store does not answer.</returns>
    public async Task<(int Forgotten, string? Problem)> ForgetAsync(SourceIdentity source, string? location, string? tenant, CancellationToken cancel)
    {
        (TraceKey Key, Task<bool> Forgetting)[] all = [.. KeysOf(source, tenant).Select(key => (key, engine.ForgetWorkingSetAsync(key, location)))];
        await WaitForAllAsync(all.Select(one => one.Forgetting), cancel);
        int forgotten = 0;
        foreach ((_, Task<bool> forgetting) in all.Where(one => one.Forgetting.IsCompleted))
            forgotten += await forgetting ? 1 : 0;
        string[] silent = SilentOf(all);
        return (forgotten, silent.Length == 0 ? null : $"{SilenceOf(silent)}, and forgets when it does");
    }

    private async Task WaitForAllAsync(IEnumerable<Task> all, CancellationToken cancel)
    {
        try
        {
            await Task.WhenAll(all).WaitAsync(Patience, cancel);
        }
        catch (TimeoutException)
        {
            // The caller looks who has not answered.
        }
    }

    private static string[] SilentOf<T>((TraceKey Key, Task<T> Task)[] all) => [.. all.Where(one => !one.Task.IsCompleted).Select(one => one.Key.Tenant).Distinct()];

    private static string SilenceOf(string[] tenants) =>
        $"where working sets are kept for {(tenants.Length == 1 ? "tenant" : "tenants")} {string.Join(", ", tenants)} does not answer";

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
