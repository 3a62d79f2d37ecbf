using UffdManager.Daemon.FrontDoors.Snapshots;

namespace UffdManager.Daemon.Configuration;

/// <summary>Every key there is, with its default. A key that is not here is refused.</summary>
internal static class Settings
{
    private const long Second = TimeSpan.TicksPerSecond;
    private const long Millisecond = TimeSpan.TicksPerMillisecond;
    private const long GiB = 1L << 30;

    public static IReadOnlyList<Setting> All { get; } =
    [
        new("listen.socket", SettingKind.AbsolutePath, "/run/uffd-manager/manager.sock", "Path of the native socket."),
        new("listen.mode", SettingKind.Mode, "0660",
            "Permission bits of the socket. Who may connect may get an open /dev/userfaultfd: give it to trusted groups only."),
        new("listen.group", SettingKind.Text, null, "Group that owns the socket: a name of /etc/group, or a number."),
        Integer("listen.backlog", "128", 1, 4096, "Connections that may wait to be accepted."),
        Integer("listen.maxConnections", "4096", 1, 1 << 20, "Open connections of all tenants together. VMs beyond it wait at their sockets for as long as it takes; others are refused."),
        Duration("listen.firstMessageTimeout", "10s", 100 * Millisecond, 60 * Second, "Time within which a peer must send its first message."),

        new("control.enabled", SettingKind.Boolean, "true", "Whether there is a control socket, which uffdctl needs."),
        new("control.socket", SettingKind.AbsolutePath, null, "Path of the control socket; if it is not set, control.sock beside listen.socket."),
        new("control.mode", SettingKind.Mode, "0660", "Permission bits of the control socket. To connect is not to be allowed anything: the lists below say who is."),
        new("control.group", SettingKind.Text, null, "Group that owns the control socket: a name of /etc/group, or a number."),
        new("control.readUids", SettingKind.IdList, "", "User ids that may look at everything but change nothing."),
        new("control.readGids", SettingKind.IdList, "", "Group ids, primary or supplementary, whose members may look at everything but change nothing."),
        new("control.adminUids", SettingKind.IdList, "", "User ids that may do everything, beside root and the user of the daemon."),
        new("control.adminGids", SettingKind.IdList, "", "Group ids, primary or supplementary, whose members may do everything."),

        new("metrics.enabled", SettingKind.Boolean, "true", "Whether /metrics, /healthz and /readyz are served."),
        new("metrics.address", SettingKind.Text, "127.0.0.1", "IP address to serve them on. There is no authentication."),
        Integer("metrics.port", "9464", 0, 65535, "TCP port; 0 takes a free one and logs it."),
        new("metrics.dashboard", SettingKind.Boolean, "true",
            "Whether the dashboard is served at / of the same port. It shows names of processes and labels of sessions to whoever reaches the port."),
        Duration("metrics.slowFault", "100ms", Millisecond, 3600 * Second, "Faults that take longer than this are traced."),

        Integer("engine.faultLoops", "0", 0, 64, "Threads that serve faults; 0 is one per core, up to 4."),
        Integer("engine.fetchThreads", "16", 1, 256, "Threads that read slow page sources."),
        Integer("engine.fetchConcurrencyPerTenant", "8", 1, 256, "Fetch threads that one tenant may occupy at a time."),
        new("engine.pinLoops", SettingKind.Boolean, "false", "Whether each fault loop is bound to a core of its own."),
        Duration("engine.livenessSweep", "1s", 100 * Millisecond, 60 * Second, "How often each client is checked for life beside its pidfd."),
        Duration("engine.adoptionTimeout", "30s", Second, 600 * Second, "How long a client that was handed over by an earlier manager may stay silent before it is killed."),

        new("logging.level", SettingKind.Choice, "information", "Least level that is written.")
            { Choices = ["trace", "debug", "information", "warning", "error", "critical", "none"] },
        new("logging.format", SettingKind.Choice, "simple", "Form of a log line on standard error.") { Choices = ["simple", "systemd", "json"] },

        new("otlp.enabled", SettingKind.Boolean, "false", "Whether metrics and traces are sent to an OpenTelemetry collector."),
        new("otlp.endpoint", SettingKind.Text, "http://127.0.0.1:4317", "URL of the collector."),
        new("otlp.protocol", SettingKind.Choice, "grpc", "Protocol of the collector.") { Choices = ["grpc", "http/protobuf"] },
        Duration("otlp.interval", "1m", Second, 3600 * Second, "Time between two exports of metrics."),
        new("otlp.metrics", SettingKind.Boolean, "true", "Whether metrics are sent."),
        new("otlp.traces", SettingKind.Boolean, "true", "Whether traces are sent."),

        new("workingSets.directory", SettingKind.AbsolutePath, "/var/lib/uffd-manager/working-sets",
            "Directory for traces that cannot lie beside their image; made when it is needed."),
        new("workingSets.besideImages", SettingKind.Boolean, "true",
            "Whether a trace is kept beside its image where the daemon may write; only below tenants.*.sourceDirectories and beside policies.*.source.path."),

        Duration("shutdown.grace", "10s", 0, 600 * Second, "Time that live sessions get at a stop before the rest is ended by force."),

        new("images.directory", SettingKind.AbsolutePath, "/var/lib/uffd-manager/images", "Directory in which the daemon remembers the images that were added; it is made when the first one is."),
        new("images.sourceDirectories", SettingKind.PathList, "",
            "Directories below which operators who are neither root nor the user of the daemon may add image files."),
        Size("images.cacheBytes", "1GiB", 0, 1L << 46, "Memory for chunks of images, of all tenants together; 0 keeps none."),
        Size("images.mapBytes", "256GiB", 0, 1L << 47, "Sizes of the objects that clients of all tenants have mapped (MAP), which take up to as much memory beside images.cacheBytes; 0 for none."),

        new("policies.*.source.kind", SettingKind.Choice, "zero", "Where contents come from; client lets the client name or hand over a file.")
            { Choices = ["zero", "file", "image", "client"] },
        new("policies.*.source.path", SettingKind.AbsolutePath, null, "Raw image; required for kind file, refused otherwise."),
        new("policies.*.source.image", SettingKind.Text, null, "Name of an image that was added; required for kind image, refused otherwise."),
        Size("policies.*.source.offset", "0", 0, long.MaxValue & ~4095L, "Where in the image a region begins; a multiple of 4096."),
        Size("policies.*.faultAroundBytes", "0", 0, 2 << 20, "Bytes installed around a fault: 0 for the page alone, else a power of two of at least 4096."),
        new("policies.*.onUnavailable", SettingKind.Choice, "kill",
            "What happens when a page cannot be had before the deadline: the client is killed, gets SIGBUS at the access, or waits.")
            { Choices = ["kill", "poison", "wait"] },
        Duration("policies.*.deadline", "10s", Millisecond, 3600 * Second, "Longest time that a fault waits for its page. Time that it waits for a limit of its tenant, or in which the manager stands still, does not count."),
        Duration("policies.*.retryBackoff", "10ms", Millisecond, Second, "Time before a failed read is tried again; doubles up to one second."),
        Duration("policies.*.busyPoll", "0s", 0, 100 * Millisecond, "Time a fault loop spins for the next fault before it sleeps; costs a core."),
        new("policies.*.prefetch.mode", SettingKind.Choice, "none",
            "What is installed ahead of the faults: nothing; growing windows for who reads forward; the pages that earlier runs of the source touched; "
            + "everything, in the background; or what earlier runs touched, and everything once the run has been recorded.")
            { Choices = ["none", "sequential", "replay", "full", "replayThenFull"] },
        Size("policies.*.prefetch.maxBytes", "1GiB", 4096, 1L << 50, "Bytes that a replay installs at most, for each session and source."),
        Duration("policies.*.prefetch.maxTime", "10s", Millisecond, 3600 * Second, "Time after the registration at which a replay ends, done or not."),
        Integer("policies.*.prefetch.maxPagesInFlight", "1024", 1, 1 << 20, "Pages of a replay that are fetched at a time."),
        Duration("policies.*.prefetch.recordTime", "10s", 10 * Millisecond, 3600 * Second, "Time after the registration for which first touches are recorded."),
        new("policies.*.removeMeans", SettingKind.Choice, "zero", "What a page that the client discarded reads as: zeros, or the source again.")
            { Choices = ["zero", "source"] },

        new("tenants.*.match.uids", SettingKind.IdList, "", "User ids that belong to the tenant."),
        new("tenants.*.match.gids", SettingKind.IdList, "", "Primary group ids that belong to the tenant."),
        new("tenants.*.match.cgroups", SettingKind.PathList, "", "Cgroup paths that, with everything below them, belong to the tenant."),
        new("tenants.*.default", SettingKind.Boolean, "false", "Whether peers that match no tenant belong to this one."),
        new("tenants.*.defaultPolicy", SettingKind.Text, null, "Policy of a session that asks for none.") { Required = true },
        new("tenants.*.policies", SettingKind.TextList, "", "Policies that may be asked for beside the default one; * is all."),
        new("tenants.*.sourceDirectories", SettingKind.PathList, "", "Directories below which clients may name source files."),
        new("tenants.*.images", SettingKind.TextList, "", "Images that clients may name as a source; * is all."),
        new("tenants.*.sourceDescriptors", SettingKind.Boolean, "true", "Whether clients may hand over an open file as a source."),
        Integer("tenants.*.weight", "1", 1, 1000, "Share of the fetch threads against other tenants."),
        Integer("tenants.*.limits.sessions", "1024", 1, 1 << 20, "Live sessions."),
        Integer("tenants.*.limits.regions", "65536", 1, 1 << 24, "Registered regions of all sessions."),
        Size("tenants.*.limits.registeredBytes", "16TiB", 4096, 1L << 50, "Bytes of all registered regions."),
        Size("tenants.*.limits.pageTableBytes", "1GiB", 65536, 1L << 40, "Memory of the manager for the page tables of all sessions."),
        Integer("tenants.*.limits.pagesInFlight", "8192", 1, 1 << 20, "Pages being fetched from slow sources at a time; further faults wait."),
        Integer("tenants.*.limits.faultsPerSecond", "0", 0, int.MaxValue, "Faults served in a second; 0 is unlimited."),
        Size("tenants.*.limits.copiedBytesPerSecond", "0", 0, 1024 * GiB, "Bytes copied in a second; 0 is unlimited."),
        Integer("tenants.*.limits.fetchQueueDepth", "1024", 1, 1 << 20, "Reads of slow sources that wait or run; further faults wait."),
        Integer("tenants.*.limits.connections", "1024", 1, 1 << 20, "Open connections. VMs beyond it wait at their sockets for as long as it takes; others are refused."),
        Integer("tenants.*.limits.sources", "256", 1, 1 << 16, "Files open as page sources."),
        Size("tenants.*.limits.sourceBytes", "1TiB", 4096, 16L << 40, "Sizes of all files open as page sources, holes included; they take address space."),
        Integer("tenants.*.limits.maps", "256", 1, 1 << 16, "Shared images."),
        Size("tenants.*.limits.mapBytes", "64GiB", 4096, 1L << 47, "Bytes of all shared images."),
        Size("tenants.*.limits.cacheBytes", "512MiB", 128 << 10, 1L << 46, "Chunks of images in memory that are charged to the tenant."),

        new("snapshots.*.image", SettingKind.Text, null, "Memory file of the snapshot, below one of the tenant's source directories, or the name of an image that the tenant may use, which comes first.") { Required = true },
        new("snapshots.*.tenant", SettingKind.Text, null, "Tenant that the VMs are accounted to.") { Required = true },
        new("snapshots.*.policy", SettingKind.Text, null, "Policy of the VMs' memory, whose source has no part in it; if it is not set, the tenant's default one."),
        new("snapshots.*.socket", SettingKind.AbsolutePath, null,
            "Path, of any length, of the socket that a VMM hands its memory over at. Several snapshots may share one; match then tells who gets which. It must not end in .new.") { Required = true },
        new("snapshots.*.owner", SettingKind.Text, null, "Who owns the socket, USER:GROUP or USER or :GROUP, as names or numbers."),
        new("snapshots.*.mode", SettingKind.Mode, "0660", "Permission bits of the socket."),
        Duration("snapshots.*.timeout", "10s", 100 * Millisecond, 60 * Second, "Time from a connection to the end of its message; who does not keep it is killed if it has handed its memory over by then, and loses the connection if it has not. A user with 64 connections at the socket that are no VMs yet has 2 s for the userfaultfd of each further one; a VM at a shared socket whose tenant has no place for so long is killed."),
        new("snapshots.*.protocol", SettingKind.Choice, SnapshotSocketOptions.DefaultProtocol, "Protocol by which VMMs hand memory over at the socket; all snapshots of a socket have the same.")
            { Choices = HandOverDecoders.BuiltIn.Names },
        new("snapshots.*.match.uids", SettingKind.IdList, "", "User ids whose VMs get this snapshot; neither these nor cgroups is everybody who can connect."),
        new("snapshots.*.match.cgroups", SettingKind.PathList, "", "Cgroup paths whose VMs, with everything below them, get this snapshot."),
        Integer("snapshots.*.maxVms", "0", 0, 1 << 20, "VMs that may live at a time; 0 leaves it to the tenant's limits."),
    ];

    private static readonly Dictionary<string, Setting> s_byPath = All.ToDictionary(setting => setting.Path, StringComparer.OrdinalIgnoreCase);

    /// <summary>The setting at a path, in which a policy's, tenant's or snapshot's own name stands where the setting has "*".</summary>
    public static Setting? Find(string path) => s_byPath.GetValueOrDefault(Pattern(path));

    /// <summary>Replaces the name of a policy, tenant or snapshot in a path by "*".</summary>
    public static string Pattern(string path)
    {
        string[] parts = path.Split('.');
        if (parts.Length > 2 && IsNamedSection(parts[0]))
            parts[1] = "*";
        return string.Join('.', parts);
    }

    /// <summary>Whether the keys of a section are names that the user chooses.</summary>
    public static bool IsNamedSection(string section) =>
        section.Equals("policies", StringComparison.OrdinalIgnoreCase)
        || section.Equals("tenants", StringComparison.OrdinalIgnoreCase)
        || section.Equals("snapshots", StringComparison.OrdinalIgnoreCase);

    private static Setting Integer(string path, string text, long min, long max, string description) =>
        new(path, SettingKind.Integer, text, description) { Min = min, Max = max };

    private static Setting Size(string path, string text, long min, long max, string description) =>
        new(path, SettingKind.Size, text, description) { Min = min, Max = max };

    private static Setting Duration(string path, string text, long minTicks, long maxTicks, string description) =>
        new(path, SettingKind.Duration, text, description) { Min = minTicks, Max = maxTicks };
}
