using Microsoft.Extensions.Logging;
using UffdManager.Engine.Policies;

namespace UffdManager.Daemon.Configuration;

/// <summary>Turns settings into options. Knows each key once; rules that span keys are <see cref="ConfigurationRules"/>.</summary>
internal static class ConfigurationBinding
{
    public static ManagerConfiguration Bind(SettingsReader reader) => new()
    {
        Listen = Listen(reader),
        Control = Control(reader),
        ControlAccess = new ControlAccessOptions
        {
            ReadUids = reader.IdList("control.readUids"),
            ReadGids = reader.IdList("control.readGids"),
            AdminUids = reader.IdList("control.adminUids"),
            AdminGids = reader.IdList("control.adminGids"),
        },
        Metrics = Metrics(reader),
        Engine = Engine(reader),
        Logging = new LoggingOptions
        {
            Level = reader.Choice<LogLevel>("logging.level"),
            Format = reader.Choice<LogFormat>("logging.format"),
        },
        Otlp = Otlp(reader),
        WorkingSets = new WorkingSetOptions
        {
            Directory = reader.Text("workingSets.directory"),
            BesideImages = reader.Boolean("workingSets.besideImages"),
        },
        Shutdown = new ShutdownOptions { Grace = reader.Duration("shutdown.grace") },
        Images = new ImageOptions
        {
            Directory = reader.Text("images.directory"),
            SourceDirectories = reader.TextList("images.sourceDirectories"),
            CacheBytes = reader.Long("images.cacheBytes"),
            MapBytes = reader.Long("images.mapBytes"),
        },
        Policies = Named(reader, "policies", Policy),
        Tenants = Named(reader, "tenants", Tenant),
        Snapshots = Named(reader, "snapshots", Snapshot),
    };

    private static Dictionary<string, T> Named<T>(SettingsReader reader, string section, Func<SettingsReader, string, T> bind) =>
        reader.Names(section).Where(name => ConfigurationRules.CheckName(reader, section, name))
            .ToDictionary(name => name, name => bind(reader, $"{section}.{name}"), StringComparer.OrdinalIgnoreCase);

    private static ListenOptions Listen(SettingsReader reader)
    {
        string? group = reader.OptionalText("listen.group");
        return new ListenOptions
        {
            Socket = reader.Text("listen.socket"),
            Mode = reader.Mode("listen.mode"),
            Group = group,
            GroupId = group is null ? null : ConfigurationRules.ResolveGroup(reader, "listen.group", group),
            Backlog = reader.Integer("listen.backlog"),
            MaxConnections = reader.Integer("listen.maxConnections"),
            FirstMessageTimeout = reader.Duration("listen.firstMessageTimeout"),
        };
    }

    private static ControlOptions Control(SettingsReader reader)
    {
        string? group = reader.OptionalText("control.group");
        return new ControlOptions
        {
            Enabled = reader.Boolean("control.enabled"),
            Socket = reader.OptionalText("control.socket") ?? BesideNativeSocket(reader),
            Mode = reader.Mode("control.mode"),
            Group = group,
            GroupId = group is null ? null : ConfigurationRules.ResolveGroup(reader, "control.group", group),
        };
    }

    // Two daemons on one host have two native sockets: they need no second setting to be told apart.
    private static string BesideNativeSocket(SettingsReader reader) =>
        Path.Combine(Path.GetDirectoryName(reader.Peek("listen.socket")) ?? "/", "control.sock");

    private static MetricsOptions Metrics(SettingsReader reader) => new()
    {
        Enabled = reader.Boolean("metrics.enabled"),
        Address = reader.Text("metrics.address"),
        Port = reader.Integer("metrics.port"),
        Dashboard = reader.Boolean("metrics.dashboard"),
        SlowFault = reader.Duration("metrics.slowFault"),
    };

    private static EngineSettings Engine(SettingsReader reader) => new()
    {
        FaultLoops = reader.Integer("engine.faultLoops"),
        FetchThreads = reader.Integer("engine.fetchThreads"),
        FetchConcurrencyPerTenant = reader.Integer("engine.fetchConcurrencyPerTenant"),
        PinLoops = reader.Boolean("engine.pinLoops"),
        LivenessSweep = reader.Duration("engine.livenessSweep"),
        AdoptionTimeout = reader.Duration("engine.adoptionTimeout"),
    };

    private static OtlpOptions Otlp(SettingsReader reader) => new()
    {
        Enabled = reader.Boolean("otlp.enabled"),
        Endpoint = reader.Text("otlp.endpoint"),
        Protocol = reader.Text("otlp.protocol"),
        Interval = reader.Duration("otlp.interval"),
        Metrics = reader.Boolean("otlp.metrics"),
        Traces = reader.Boolean("otlp.traces"),
    };

    private static PolicyOptions Policy(SettingsReader reader, string path) => new()
    {
        Source = new PolicySourceOptions
        {
            Kind = reader.Choice<PolicySourceKind>($"{path}.source.kind"),
            Path = reader.OptionalText($"{path}.source.path"),
            Image = reader.OptionalText($"{path}.source.image"),
            Offset = reader.Long($"{path}.source.offset"),
        },
        FaultAroundBytes = reader.Integer($"{path}.faultAroundBytes"),
        OnUnavailable = reader.Choice<UnavailableAction>($"{path}.onUnavailable"),
        Deadline = reader.Duration($"{path}.deadline"),
        RetryBackoff = reader.Duration($"{path}.retryBackoff"),
        BusyPoll = reader.Duration($"{path}.busyPoll"),
        Prefetch = new PrefetchOptions
        {
            Mode = reader.Choice<PrefetchMode>($"{path}.prefetch.mode"),
            MaxBytes = reader.Long($"{path}.prefetch.maxBytes"),
            MaxTime = reader.Duration($"{path}.prefetch.maxTime"),
            MaxPagesInFlight = reader.Integer($"{path}.prefetch.maxPagesInFlight"),
            RecordTime = reader.Duration($"{path}.prefetch.recordTime"),
        },
        RemoveMeansSource = reader.Text($"{path}.removeMeans") == "source",
    };

    private static TenantOptions Tenant(SettingsReader reader, string path) => new()
    {
        Match = new TenantMatchOptions
        {
            Uids = reader.IdList($"{path}.match.uids"),
            Gids = reader.IdList($"{path}.match.gids"),
            Cgroups = reader.TextList($"{path}.match.cgroups"),
        },
        Default = reader.Boolean($"{path}.default"),
        DefaultPolicy = reader.Text($"{path}.defaultPolicy"),
        Policies = reader.TextList($"{path}.policies"),
        SourceDirectories = reader.TextList($"{path}.sourceDirectories"),
        Images = reader.TextList($"{path}.images"),
        SourceDescriptors = reader.Boolean($"{path}.sourceDescriptors"),
        Weight = reader.Integer($"{path}.weight"),
        Limits = Limits(reader, $"{path}.limits"),
    };

    private static SnapshotOptions Snapshot(SettingsReader reader, string path)
    {
        (uint? Uid, uint? Gid) owner = reader.OptionalText($"{path}.owner") is { } text ? ConfigurationRules.ResolveOwner(reader, $"{path}.owner", text) : default;
        return new SnapshotOptions
        {
            Image = reader.Text($"{path}.image"),
            Tenant = reader.Text($"{path}.tenant"),
            Policy = reader.OptionalText($"{path}.policy") ?? "",
            Socket = new SnapshotSocketOptions
            {
                Path = reader.Text($"{path}.socket"),
                Protocol = reader.Text($"{path}.protocol"),
                Uid = owner.Uid,
                Gid = owner.Gid,
                Mode = reader.Mode($"{path}.mode"),
                Timeout = reader.Duration($"{path}.timeout"),
            },
            Match = new SnapshotMatchOptions
            {
                Uids = reader.IdList($"{path}.match.uids"),
                Cgroups = reader.TextList($"{path}.match.cgroups"),
            },
            MaxVms = reader.Integer($"{path}.maxVms"),
        };
    }

    private static TenantLimitOptions Limits(SettingsReader reader, string path) => new()
    {
        Sessions = reader.Integer($"{path}.sessions"),
        Regions = reader.Integer($"{path}.regions"),
        RegisteredBytes = reader.Long($"{path}.registeredBytes"),
        PageTableBytes = reader.Long($"{path}.pageTableBytes"),
        PagesInFlight = reader.Integer($"{path}.pagesInFlight"),
        FaultsPerSecond = reader.Long($"{path}.faultsPerSecond"),
        CopiedBytesPerSecond = reader.Long($"{path}.copiedBytesPerSecond"),
        FetchQueueDepth = reader.Integer($"{path}.fetchQueueDepth"),
        Connections = reader.Integer($"{path}.connections"),
        Sources = reader.Integer($"{path}.sources"),
        SourceBytes = reader.Long($"{path}.sourceBytes"),
        Maps = reader.Integer($"{path}.maps"),
        MapBytes = reader.Long($"{path}.mapBytes"),
        CacheBytes = reader.Long($"{path}.cacheBytes"),
    };
}
