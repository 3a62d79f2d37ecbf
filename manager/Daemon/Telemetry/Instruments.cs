using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.LiveSnapshots;
using UffdManager.Engine.Loops;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Telemetry;

namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// Every metric of the daemon; docs/METRICS.md says the same to its readers, and a test holds the two together. Names follow the
/// Prometheus conventions: base units, the unit and then <c>_total</c> at the end. Names and labels are a promise to dashboards:
/// change them as one changes a protocol.
/// </summary>
internal static class Instruments
{
    public const string MeterName = "UffdManager";

    /// <summary>Tenants with series of their own; the rest share the label of <see cref="TenantLabels"/>.</summary>
    public const int MaxTenants = 256;

    /// <summary>A page fault is served in microseconds or, by a slow source, in as much as the deadline of its policy.</summary>
    private static readonly double[] FaultBuckets =
    [
        1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10,
    ];

    private static readonly double[] RequestBuckets = [1e-5, 5e-5, 1e-4, 5e-4, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10];

    private static readonly double[] ArmBuckets = [1e-4, 2e-4, 5e-4, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];

    private static readonly InstrumentLabel Tenant = InstrumentLabel.Bounded("tenant", MaxTenants + 1);
    private static readonly InstrumentLabel Loop = InstrumentLabel.Bounded("loop", 64);
    private static readonly InstrumentLabel Door = InstrumentLabel.Bounded("door", 8);
    private static readonly InstrumentLabel Request = InstrumentLabel.Bounded("request", 32);
    private static readonly InstrumentLabel FaultKinds = InstrumentLabel.Of<FaultKind>("kind");

    // Tenants: gauges.
    public static readonly InstrumentDefinition Sessions = new(
        "uffd_manager_sessions", InstrumentKind.Gauge, "{session}", "Live sessions: userfaultfds being served.", Tenant);

    public static readonly InstrumentDefinition Regions = new(
        "uffd_manager_regions", InstrumentKind.Gauge, "{region}", "Registered ranges.", Tenant);

    public static readonly InstrumentDefinition RegisteredBytes = new(
        "uffd_manager_registered_bytes", InstrumentKind.Gauge, "By", "Address space in registered ranges.", Tenant);

    public static readonly InstrumentDefinition ResidentBytes = new(
        "uffd_manager_resident_bytes", InstrumentKind.Gauge, "By", "Memory installed or found present in registered ranges, less what was given back.", Tenant);

    public static readonly InstrumentDefinition PagesInFlight = new(
        "uffd_manager_pages_in_flight", InstrumentKind.Gauge, "{page}", "Base pages being fetched.", Tenant);

    public static readonly InstrumentDefinition FetchQueueDepth = new(
        "uffd_manager_fetch_queue_depth", InstrumentKind.Gauge, "{fetch}", "Fetches from slow sources that are queued or running.", Tenant);

    // Tenants: counters.
    public static readonly InstrumentDefinition Faults = new(
        "uffd_manager_faults_total", InstrumentKind.Counter, "{fault}", "Page faults, by what was asked for and how they ended.",
        Tenant, FaultKinds, InstrumentLabel.Of<FaultOutcome>("outcome"));

    public static readonly InstrumentDefinition FaultDuration = new(
        "uffd_manager_fault_duration_seconds", InstrumentKind.Histogram, "s", "Time from the reading of a fault to its resolution.",
        Tenant, FaultKinds)
    {
        Buckets = FaultBuckets,
    };

    public static readonly InstrumentDefinition CopiedBytes = new(
        "uffd_manager_copied_bytes_total", InstrumentKind.Counter, "By", "Bytes installed with contents.", Tenant);

    public static readonly InstrumentDefinition ZeroedBytes = new(
        "uffd_manager_zeroed_bytes_total", InstrumentKind.Counter, "By", "Bytes installed as zeros.", Tenant);

    public static readonly InstrumentDefinition Events = new(
        "uffd_manager_events_total", InstrumentKind.Counter, "{event}", "Events other than faults, read from userfaultfds.",
        Tenant, InstrumentLabel.Of<EventKind>("kind"));

    public static readonly InstrumentDefinition Deferrals = new(
        "uffd_manager_deferrals_total", InstrumentKind.Counter, "{deferral}", "Faults put off to a later try, by reason.",
        Tenant, InstrumentLabel.Of<DeferralReason>("reason"));

    public static readonly InstrumentDefinition Conflicts = new(
        "uffd_manager_conflicts_total", InstrumentKind.Counter, "{conflict}", "Claims of a range that somebody else holds, by who noticed.",
        Tenant, InstrumentLabel.Closed("by", "manager", "kernel"));

    public static readonly InstrumentDefinition PoisonedPages = new(
        "uffd_manager_poisoned_pages_total", InstrumentKind.Counter, "{page}", "Pages poisoned because they could not be had.", Tenant);

    public static readonly InstrumentDefinition KilledClients = new(
        "uffd_manager_killed_clients_total", InstrumentKind.Counter, "{client}", "Clients killed because a page could not be had.", Tenant);

    public static readonly InstrumentDefinition Fetches = new(
        "uffd_manager_fetches_total", InstrumentKind.Counter, "{fetch}", "Attempts to fetch from a slow source, by how they ended.",
        Tenant, InstrumentLabel.Of<FetchOutcome>("outcome"));

    public static readonly InstrumentDefinition FetchesStarted = new(
        "uffd_manager_fetches_started_total", InstrumentKind.Counter, "{fetch}", "Fetches that reached a fetch thread.", Tenant);

    public static readonly InstrumentDefinition FetchWait = new(
        "uffd_manager_fetch_wait_seconds_total", InstrumentKind.Counter, "s", "Time that started fetches had waited in the queue.", Tenant);

    public static readonly InstrumentDefinition ReplayPages = new(
        "uffd_manager_replay_pages_total", InstrumentKind.Counter, "{page}", "Base pages of replayed working sets, by what became of them.",
        Tenant, InstrumentLabel.Of<ReplayPages>("kind"));

    public static readonly InstrumentDefinition ReplayRuns = new(
        "uffd_manager_replay_runs_total", InstrumentKind.Counter, "{run}", "Observed runs of sources whose policy replays working sets, by how they went.",
        Tenant, InstrumentLabel.Of<ReplayOutcome>("outcome"));

    public static readonly InstrumentDefinition SessionsEnded = new(
        "uffd_manager_sessions_ended_total", InstrumentKind.Counter, "{session}", "Sessions that are over, by reason.",
        Tenant, InstrumentLabel.Of<SessionEndReason>("reason"));

    public static readonly InstrumentDefinition Misbehaviour = new(
        "uffd_manager_client_misbehaviour_total", InstrumentKind.Counter, "{event}", "Things done to a userfaultfd that only a bug or an attacker does.", Tenant);

    // Fault loops.
    public static readonly InstrumentDefinition LoopSessions = new(
        "uffd_manager_loop_sessions", InstrumentKind.Gauge, "{session}", "Sessions served by a fault loop.", Loop);

    public static readonly InstrumentDefinition LoopBusy = new(
        "uffd_manager_loop_busy_seconds_total", InstrumentKind.Counter, "s", "Time that a fault loop did not wait in epoll.", Loop);

    public static readonly InstrumentDefinition LoopSpin = new(
        "uffd_manager_loop_spin_seconds_total", InstrumentKind.Counter, "s", "Part of the busy time spent polling for the next fault.", Loop);

    public static readonly InstrumentDefinition LoopWakeups = new(
        "uffd_manager_loop_wakeups_total", InstrumentKind.Counter, "{wakeup}", "Returns from epoll with something to do.", Loop);

    public static readonly InstrumentDefinition PageTableBytes = new(
        "uffd_manager_page_table_bytes", InstrumentKind.Gauge, "By", "Memory reserved for the page tables of a fault loop.", Loop);

    public static readonly InstrumentDefinition SamplesDropped = new(
        "uffd_manager_fault_samples_dropped_total", InstrumentKind.Counter, "{sample}",
        "Service times missing in the histogram because they came faster than they were read; the fault counters have them.", Loop);

    // Front doors.
    public static readonly InstrumentDefinition Connections = new(
        "uffd_manager_connections", InstrumentKind.Gauge, "{connection}", "Open connections.", Door, Tenant);

    public static readonly InstrumentDefinition ConnectionsOpened = new(
        "uffd_manager_connections_opened_total", InstrumentKind.Counter, "{connection}", "Connections let in.", Door, Tenant);

    public static readonly InstrumentDefinition PeersRefused = new(
        "uffd_manager_peers_refused_total", InstrumentKind.Counter, "{peer}", "Peers turned away before their first message, by reason.",
        Door, InstrumentLabel.Of<PeerRefusal>("reason"));

    public static readonly InstrumentDefinition AdmissionPauses = new(
        "uffd_manager_admission_pauses_total", InstrumentKind.Counter, "{pause}",
        "Times that nobody was let in at a socket for some milliseconds, by reason; who connects meanwhile waits.",
        Door, InstrumentLabel.Of<AdmissionPause>("reason"));

    public static readonly InstrumentDefinition ProtocolErrors = new(
        "uffd_manager_protocol_errors_total", InstrumentKind.Counter, "{error}", "Messages that broke the protocol, by reason.",
        Door, InstrumentLabel.Of<ProtocolErrorReason>("reason"));

    public static readonly InstrumentDefinition VmsKilled = new(
        "uffd_manager_vms_killed_total", InstrumentKind.Counter, "{vm}", "VMs that had handed their memory over, could not be served, and were killed, by reason.",
        Door, InstrumentLabel.Of<HandOverRefusal>("reason"));

    public static readonly InstrumentDefinition Requests = new(
        "uffd_manager_requests_total", InstrumentKind.Counter, "{request}", "Requests answered, by what was asked and the answer's code.",
        Door, Request, InstrumentLabel.Bounded("outcome", 32));

    public static readonly InstrumentDefinition RequestDuration = new(
        "uffd_manager_request_duration_seconds", InstrumentKind.Histogram, "s", "Time from the arrival of a request to its answer.", Door, Request)
    {
        Buckets = RequestBuckets,
    };

    // The cache of images.
    public static readonly InstrumentDefinition ImageCacheLimit = new(
        "uffd_manager_image_cache_limit_bytes", InstrumentKind.Gauge, "By", "What the cache of images may hold.");

    public static readonly InstrumentDefinition ImageCacheBytes = new(
        "uffd_manager_image_cache_bytes", InstrumentKind.Gauge, "By", "Chunks of images in memory, by who was the first to want them; (none) has what operators have warmed.", Tenant);

    public static readonly InstrumentDefinition ImageCacheHits = new(
        "uffd_manager_image_cache_hits_total", InstrumentKind.Counter, "{hit}", "Times that pages of an image were found in memory.");

    public static readonly InstrumentDefinition ImageCacheMisses = new(
        "uffd_manager_image_cache_misses_total", InstrumentKind.Counter, "{chunk}", "Chunks of images that were read into memory.", Tenant);

    public static readonly InstrumentDefinition ImageCacheEvictions = new(
        "uffd_manager_image_cache_evictions_total", InstrumentKind.Counter, "{chunk}", "Chunks of images that were given up for others.", Tenant);

    public static readonly InstrumentDefinition ImageCacheBypasses = new(
        "uffd_manager_image_cache_bypasses_total", InstrumentKind.Counter, "{read}", "Reads of images for which the cache had no room, because everything in it was in use.");

    public static readonly InstrumentDefinition MappedLimit = new(
        "uffd_manager_mapped_limit_bytes", InstrumentKind.Gauge, "By", "Sizes that the objects which clients map may have together.");

    public static readonly InstrumentDefinition MappedObjects = new(
        "uffd_manager_mapped_objects", InstrumentKind.Gauge, "{object}", "Objects that clients map.", Tenant);

    public static readonly InstrumentDefinition MappedSize = new(
        "uffd_manager_mapped_size_bytes", InstrumentKind.Gauge, "By", "Sizes of these objects, which limits go by.", Tenant);

    public static readonly InstrumentDefinition MappedMemory = new(
        "uffd_manager_mapped_memory_bytes", InstrumentKind.Gauge, "By", "Memory that these objects take, beside the cache of images.", Tenant);

    // Snapshots of running clients.
    public static readonly InstrumentDefinition LiveSnapshotsStarted = new(
        "uffd_manager_live_snapshots_started_total", InstrumentKind.Counter, "{snapshot}", "Snapshots of running clients that were begun.", Tenant);

    public static readonly InstrumentDefinition LiveSnapshots = new(
        "uffd_manager_live_snapshots_total", InstrumentKind.Counter, "{snapshot}", "Snapshots of running clients that are over, by how they ended.",
        Tenant, InstrumentLabel.Of<LiveSnapshotEnd>("end"));

    public static readonly InstrumentDefinition LiveSnapshotBytes = new(
        "uffd_manager_live_snapshot_written_bytes_total", InstrumentKind.Counter, "By", "Bytes written to images of running clients, of those that came to nothing too.", Tenant);

    public static readonly InstrumentDefinition LiveSnapshotArm = new(
        "uffd_manager_live_snapshot_arm_seconds", InstrumentKind.Histogram, "s", "Time to write-protect all memory of a client, until the instant of the snapshot.", Tenant)
    {
        Buckets = ArmBuckets,
    };

    public static readonly InstrumentDefinition LiveSnapshotWaits = new(
        "uffd_manager_live_snapshot_saved_pages_total", InstrumentKind.Counter, "{page}", "Pages saved out of their turn, because somebody waited to write them.", Tenant);

    // The process.
    public static readonly InstrumentDefinition Reloads = new(
        "uffd_manager_configuration_reloads_total", InstrumentKind.Counter, "{reload}", "Configuration reloads, by whether the new one was taken.",
        InstrumentLabel.Closed("outcome", "ok", "refused"));

    public static readonly InstrumentDefinition LastReloadSuccessful = new(
        "uffd_manager_configuration_last_reload_successful", InstrumentKind.Gauge, "",
        "1 when the configuration in force is the one last asked for, 0 when that was refused.");

    public static readonly InstrumentDefinition LastReloadTime = new(
        "uffd_manager_configuration_last_reload_success_timestamp_seconds", InstrumentKind.Gauge, "s",
        "When the configuration in force was read, seconds since the epoch.");

    // What outlives the daemon.
    public static readonly InstrumentDefinition RestoredSessions = new(
        "uffd_manager_restored_sessions_total", InstrumentKind.Counter, "{session}", "Sessions of the manager before this one, by what became of them at the start.",
        InstrumentLabel.Closed("outcome", "restored", "gone", "failed"));

    public static readonly InstrumentDefinition RestoreDuration = new(
        "uffd_manager_restore_duration_seconds", InstrumentKind.Gauge, "s", "Time that taking over the sessions took at the start; 0 when there were none.");

    public static readonly InstrumentDefinition StoreKeeps = new(
        "uffd_manager_descriptor_store_keeps", InstrumentKind.Gauge, "",
        "1 when the service manager keeps descriptors, so that sessions outlive the daemon, 0 when they end with it.");

    public static readonly InstrumentDefinition StoreDescriptors = new(
        "uffd_manager_descriptor_store_descriptors", InstrumentKind.Gauge, "{descriptor}", "Descriptors that the service manager was given and keeps.");

    public static readonly InstrumentDefinition StoreSets = new(
        "uffd_manager_descriptor_store_sets_total", InstrumentKind.Counter, "{set}", "Sets of descriptors given to the service manager; a refused one ends with the daemon.",
        InstrumentLabel.Closed("outcome", "stored", "refused"));

    public static readonly InstrumentDefinition StoreQueue = new(
        "uffd_manager_descriptor_store_queue_depth", InstrumentKind.Gauge, "{message}", "Messages to the service manager that wait until it reads.");

    public static readonly InstrumentDefinition GcPauses = new(
        "uffd_manager_gc_pause_seconds_total", InstrumentKind.Counter, "s", "Time that all managed threads stood still for the garbage collector.");

    public static readonly InstrumentDefinition GcCollections = new(
        "uffd_manager_gc_collections_total", InstrumentKind.Counter, "{collection}", "Garbage collections, by the oldest generation they covered.",
        InstrumentLabel.Closed("generation", "0", "1", "2"));

    public static readonly InstrumentDefinition Cpu = new(
        "uffd_manager_cpu_seconds_total", InstrumentKind.Counter, "s", "CPU time of the daemon.", InstrumentLabel.Closed("mode", "user", "system"));

    public static readonly InstrumentDefinition Memory = new(
        "uffd_manager_memory_resident_bytes", InstrumentKind.Gauge, "By", "Resident memory of the daemon itself.");

    public static readonly InstrumentDefinition OpenDescriptors = new(
        "uffd_manager_open_descriptors", InstrumentKind.Gauge, "{descriptor}", "File descriptors that the daemon has open.");

    public static readonly InstrumentDefinition StartTime = new(
        "uffd_manager_start_time_seconds", InstrumentKind.Gauge, "s", "When the daemon started, seconds since the epoch.");

    public static readonly InstrumentDefinition BuildInfo = new(
        "uffd_manager_build_info", InstrumentKind.Info, "", "Always 1; the labels tell what is running.",
        InstrumentLabel.Bounded("version", 1), InstrumentLabel.Bounded("runtime", 1), InstrumentLabel.Bounded("kernel", 1));

    /// <summary>All of the above, in the order in which they are documented and exported.</summary>
    public static readonly IReadOnlyList<InstrumentDefinition> All =
    [
        Sessions, Regions, RegisteredBytes, ResidentBytes, PagesInFlight, FetchQueueDepth,
        Faults, FaultDuration, CopiedBytes, ZeroedBytes, Events, Deferrals, Conflicts, PoisonedPages, KilledClients,
        Fetches, FetchesStarted, FetchWait, ReplayPages, ReplayRuns, SessionsEnded, Misbehaviour,
        LoopSessions, LoopBusy, LoopSpin, LoopWakeups, PageTableBytes, SamplesDropped,
        Connections, ConnectionsOpened, PeersRefused, AdmissionPauses, ProtocolErrors, VmsKilled, Requests, RequestDuration,
        ImageCacheLimit, ImageCacheBytes, ImageCacheHits, ImageCacheMisses, ImageCacheEvictions, ImageCacheBypasses,
        MappedLimit, MappedObjects, MappedSize, MappedMemory,
        LiveSnapshotsStarted, LiveSnapshots, LiveSnapshotBytes, LiveSnapshotArm, LiveSnapshotWaits,
        Reloads, LastReloadSuccessful, LastReloadTime,
        RestoredSessions, RestoreDuration, StoreKeeps, StoreDescriptors, StoreSets, StoreQueue,
        GcPauses, GcCollections, Cpu, Memory, OpenDescriptors, StartTime, BuildInfo,
    ];
}
