using System.CommandLine;
using UffdManager.Cli.Completion;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl tenant</c>: list, show.</summary>
internal static class TenantCommands
{
    public static Command Create() => new("tenant", "Tenants: who is accounted and limited.") { List(), Show() };

    private static Command List() => Lookup.List("List the tenants.", "tenants", Documents.Types.TenantListDto, list => Table(list.Tenants));

    private static Table Table(IEnumerable<TenantDto> tenants)
    {
        Table table = new(
            new("NAME", Shrink: 8), new("SESSIONS", Right: true), new("REGIONS", 4, Right: true), new("REGISTERED", 1, Right: true),
            new("RESIDENT", Right: true), new("FAULTS", 1, Right: true), new("P50", 5, Right: true), new("P99", 3, Right: true),
            new("INFLIGHT", 6, Right: true), new("QUEUE", 2, Right: true), new("TABLES", 7, Right: true), new("CONNECTIONS", 8, Right: true),
            new("WEIGHT", 9, Right: true), new("KILLED", 4, Right: true), new("DEFAULT-POLICY", 5, Shrink: 6));
        foreach (TenantDto tenant in tenants)
        {
            TenantUsageDto usage = tenant.Usage;
            table.Add(
                tenant.Name, usage.Sessions, usage.Regions, Units.Bytes(usage.RegisteredBytes), Units.Bytes(usage.ResidentBytes),
                Units.Count(tenant.Counters.Faults), Words.Percentile(tenant.Latency.P50Nanoseconds), Words.Percentile(tenant.Latency.P99Nanoseconds),
                usage.PagesInFlight, usage.Fetches, Units.Bytes(usage.PageTableBytes), usage.Connections, tenant.Weight, tenant.Counters.KilledClients,
                tenant.DefaultPolicy);
        }

        return table;
    }

    private static Command Show()
    {
        Argument<string> name = new Argument<string>("name") { Description = "Name of the tenant.", HelpName = "NAME" }.Completed(ValueKind.Tenant);
        return Lookup.Show("Show everything about a tenant.", name, "tenants", Documents.Types.TenantDto, Print);
    }

    private static void Print(CommandContext context, TenantDto tenant)
    {
        Facts facts = new();
        facts.Add("Tenant", tenant.Name);
        facts.AddIf(!tenant.Configured, "Configured", new Cell("no: it left the configuration and still has sessions", Style.Warning));
        facts.AddIf(tenant.Default, "Default", "yes: peers that match no tenant belong to it");
        facts.AddIf(tenant.Match.Uids.Count > 0, "User ids", string.Join(", ", tenant.Match.Uids));
        facts.AddIf(tenant.Match.Gids.Count > 0, "Group ids", string.Join(", ", tenant.Match.Gids));
        facts.AddIf(tenant.Match.Cgroups.Count > 0, "Cgroups", Words.List(tenant.Match.Cgroups));
        facts.Add("Default policy", tenant.DefaultPolicy);
        facts.Add("Policies", Words.List(tenant.Policies));
        facts.Add("Weight", tenant.Weight);
        facts.Add("Latency", Words.Latency(tenant.Latency));
        TenantCountersDto counters = tenant.Counters;
        facts.Add("Faults", counters.Faults);
        foreach ((string kind, IReadOnlyDictionary<string, long> outcomes) in counters.FaultsByKind)
            facts.AddIf(outcomes.Values.Any(count => count > 0), $"  {Text.Clean(kind)}", Counts(outcomes));
        facts.Add("Installed", $"{Units.Bytes(counters.CopiedBytes)} copied, {Units.Bytes(counters.ZeroedBytes)} zeros");
        facts.Add("Events", Counts(counters.Events));
        facts.Add("Deferrals", Counts(counters.Deferrals));
        facts.Add("Fetches", Counts(counters.Fetches));
        facts.AddIf(counters.FetchesStarted > 0, "Fetch wait",
            $"{Units.Time(counters.FetchWaitSeconds * 1e9 / Math.Max(1, counters.FetchesStarted))} on average for a thread");
        facts.Add("Conflicts", Counts(counters.Conflicts));
        facts.AddIf(counters.PoisonedPages > 0, "Poisoned", new Cell($"{counters.PoisonedPages} pages", Style.Bad));
        facts.AddIf(counters.KilledClients > 0, "Killed", new Cell($"{counters.KilledClients} clients", Style.Bad));
        context.Print(facts);
        context.Print("");
        context.Print(Limits(tenant));
    }

    // A limit of zero is none; what is not said is a dash.
    private static Table Limits(TenantDto tenant)
    {
        (TenantUsageDto usage, TenantLimitsDto limits) = (tenant.Usage, tenant.Limits);
        Table table = new(new("RESOURCE"), new("USED", Right: true), new("LIMIT", Right: true), new("SHARE", Right: true));
        Add("sessions", usage.Sessions, limits.Sessions, Plain);
        Add("regions", usage.Regions, limits.Regions, Plain);
        Add("registeredBytes", usage.RegisteredBytes, limits.RegisteredBytes, Bytes);
        Add("residentBytes", usage.ResidentBytes, 0, Bytes);
        Add("pageTableBytes", usage.PageTableBytes, limits.PageTableBytes, Bytes);
        Add("pagesInFlight", usage.PagesInFlight, limits.PagesInFlight, Plain);
        Add("fetchQueueDepth", usage.Fetches, limits.FetchQueueDepth, Plain);
        Add("connections", usage.Connections, limits.Connections, Plain);
        Add("sources", usage.Sources, limits.Sources, Plain);
        Add("sourceBytes", usage.SourceBytes, limits.SourceBytes, Bytes);
        Add("maps", null, limits.Maps, Plain);
        Add("mapBytes", null, limits.MapBytes, Bytes);
        Add("cacheBytes", null, limits.CacheBytes, Bytes);
        Add("faultsPerSecond", null, limits.FaultsPerSecond, Plain);
        Add("copiedBytesPerSecond", null, limits.CopiedBytesPerSecond, Bytes);
        return table;

        void Add(string resource, long? used, long? limit, Func<long, string> text)
        {
            double share = used is { } part && limit is > 0 and { } whole ? (double)part / whole : 0;
            Cell percent = used is null || limit is null or 0 ? "-" : new Cell(
                Units.Percent(share, 1), share >= 1 ? Style.Bad : share >= 0.8 ? Style.Warning : Style.None);
            table.Add(resource, used is null ? "-" : text(used.Value), limit switch { null => "-", 0 => "none", _ => text(limit.Value) }, percent);
        }
    }

    private static string Plain(long number) => number.ToString();

    private static string Bytes(long bytes) => Units.Bytes(bytes);

    private static Cell Counts(IReadOnlyDictionary<string, long> counts)
    {
        string[] some = [.. counts.Where(pair => pair.Value > 0).Select(pair => $"{pair.Value} {pair.Key}")];
        return some.Length == 0 ? "none" : string.Join(", ", some);
    }
}
