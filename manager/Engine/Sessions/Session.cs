using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.State;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Sessions;

/// <summary>
/// One received userfaultfd, from hand-over until its process is gone. Public members may be read from any thread; everything
/// else belongs to the session's fault loop.
/// </summary>
public sealed class Session
{
    private Snapshots.ClientReads? _reads;
    private int _pid;
    private int _state;
    private int? _defaultPolicyDocument;

    internal Session(long id, SafeUffd uffd, FaultLoop loop, Tenant tenant, Policy defaultPolicy, string label, UffdFeatures features, ulong forkToken, TenantCounters counters, SessionLedger ledger)
    {
        Id = id;
        Uffd = uffd;
        Loop = loop;
        Tenant = tenant;
        DefaultPolicy = defaultPolicy;
        Label = label;
        Features = features;
        ForkToken = forkToken;
        Counters = counters;
        StartedAt = MonotonicClock.NowNanoseconds;
        StartedSinceBoot = BoottimeClock.NowNanoseconds;
        Ledger = ledger;
        Regions = new RegionMap(ledger);
        Pages = new PageTable(ledger.Memory, tenant.Usage, tenant.Limits.PageTableBytes);
        Lease = uffd.Lease();
    }

    /// <summary>Unique within the life of the engine; never 0.</summary>
    public long Id { get; }

    /// <summary>Process id in the manager's pid namespace; 0 for a forked child that is not yet identified.</summary>
    public int Pid => Volatile.Read(ref _pid);

    /// <summary>Start time of the process, clock ticks since boot; with the pid it names an address space for ever.</summary>
    public ulong ProcessStartTime { get; internal set; }

    /// <summary>Who is accounted.</summary>
    public Tenant Tenant { get; }

    /// <summary>Policy of regions that name none.</summary>
    public Policy DefaultPolicy { get; }

    /// <summary>The client's own name for it, at most 64 bytes, for logs.</summary>
    public string Label { get; }

    /// <summary>Features that UFFDIO_API enabled.</summary>
    public UffdFeatures Features { get; }

    /// <summary>Whether somebody on the client's side keeps a duplicate of the descriptor.</summary>
    public bool HasKeeper { get; internal set; }

    /// <summary>Whether its client's system calls fail with EFAULT where a page is missing or protected (UFFD_USER_MODE_ONLY).</summary>
    public bool IsUserModeOnly { get; init; }

    /// <summary>Where it stands.</summary>
    public SessionState State
    {
        get => (SessionState)Volatile.Read(ref _state);
        internal set => Volatile.Write(ref _state, (int)value);
    }

    /// <summary>Monotonic nanoseconds.</summary>
    public long StartedAt { get; internal init; }

    /// <summary>The same by CLOCK_BOOTTIME, to be compared with the start times of processes.</summary>
    internal long StartedSinceBoot { get; init; }

    /// <summary>Session this one was forked from; 0 for none.</summary>
    public long ParentId { get; internal init; }

    internal SafeUffd Uffd { get; }

    internal FdLease Lease { get; }

    internal SafePidFd? PidFd { get; set; }

    /// <summary>Null for a forked child that is not yet identified, or whose address space lives on another loop.</summary>
    internal AddressSpace? Space { get; set; }

    internal FaultLoop Loop { get; }

    internal TenantCounters Counters { get; }

    internal ulong ForkToken { get; }

    internal int ParentPid { get; init; }

    /// <summary>
    /// A reference to the default policy's source, where nobody else holds one: the configuration that a restored policy came from may be gone. Dropped at
    /// the end.
    /// </summary>
    internal Sources.PageSource? HeldSource { get; set; }

    /// <summary>Whether a successor will find it.</summary>
    internal bool IsStored { get; set; }

    /// <summary>What the next manager will know of it.</summary>
    internal SessionLedger Ledger { get; }

    /// <summary>See <see cref="AttachRequest.OwnerRecord"/>.</summary>
    internal ReadOnlyMemory<byte> OwnerRecord { get; set; }

    internal RegionMap Regions { get; }

    internal PageTable Pages { get; }

    internal DeferredQueue Deferred { get; } = new();

    /// <summary>What the client gives back at this moment, as events have told.</summary>
    internal Tracking.RecentRemovals Removals { get; } = new();

    /// <summary>What lay where a remap arrived, until the event comes that says where it went.</summary>
    internal List<DisplacedRange> Displaced { get; } = [];

    /// <summary>Whether ranges of which events are still to come stand in the ledger.</summary>
    internal bool HasAwaitedOnRecord { get; set; }

    /// <summary>Whether its ranges were unregistered for its end, which only waits for the client's events to be read.</summary>
    internal bool IsLetGo { get; set; }

    /// <summary>Forked children beyond the tenant's limits that nobody could find and kill yet.</summary>
    internal List<Session> RefusedChildren { get; } = [];

    /// <summary>Ranges that were moved away and not unmapped since, as far as events have told.</summary>
    internal List<(ulong Start, ulong End)> Vacated { get; } = [];

    internal List<Fetch.FetchTicket> Tickets { get; } = [];

    internal List<PopulateJob> Jobs { get; } = [];

    /// <summary>Who reads forward; null until a region is registered that wants to know.</summary>
    internal WorkingSets.SequentialStreams? Streams { get; set; }

    /// <summary>What is being observed of its working sets.</summary>
    internal List<WorkingSets.WorkingSetRun> Runs { get; } = [];

    /// <summary>Whether it is on its loop's list of sessions with deferred faults.</summary>
    internal bool IsDeferring { get; set; }

    /// <summary>Whether its userfaultfd is in the epoll set.</summary>
    internal bool IsUffdWatched { get; set; }

    /// <summary>Whether its pidfd is in the epoll set.</summary>
    internal bool IsProcessWatched { get; set; }

    internal int Slot { get; set; } = -1;

    internal uint SlotGeneration { get; set; }

    /// <summary>Until when it may stay silent while it is adopted, in the time of the loop's sweeps: nanoseconds.</summary>
    internal long AdoptionDeadline { get; set; } = long.MaxValue;

    internal long ResidentBytes { get; set; }

    internal long FaultCount { get; set; }

    internal long CopiedBytes { get; set; }

    internal long ZeroedBytes { get; set; }

    internal long DeferralCount { get; set; }

    internal long PoisonedPages { get; set; }

    /// <summary>Times that the peer had cleared O_NONBLOCK in the current sweep period.</summary>
    internal int NonBlockRepairs { get; set; }

    /// <summary>Whether its userfaultfd is in the epoll set for nothing, because it cannot be read for now.</summary>
    internal bool IsMuted { get; set; }

    /// <summary>Whether the loop has it on the list of those to be looked at soon.</summary>
    internal bool IsToBeLookedAt { get; set; }

    /// <summary>Whether a sweep has found the address space gone while the process was still there.</summary>
    internal bool IsAddressSpaceGone { get; set; }

    /// <summary>What the kernel said last when it did not fill a page.</summary>
    internal Errno LastRefusal { get; set; }

    /// <summary>No look at the client's mappings before this time.</summary>
    internal long NextLookAt { get; set; }

    /// <summary>Pages that fault where nothing is known; null until there was one.</summary>
    internal StrangePages? Strange { get; set; }

    internal int IdentifyAttempts { get; set; }

    /// <summary>Whether ranges that are registered from now on are tracked.</summary>
    internal bool IsTracking { get; set; }

    /// <summary>Since when every region is tracked, monotonic nanoseconds; 0 for not. On record.</summary>
    internal long TrackedSince { get; set; }

    /// <summary>The snapshot that is being taken of it; null for none.</summary>
    internal Snapshots.Snapshot? Snapshot { get; set; }

    /// <summary>
    /// What reads of snapshots may have left in its memory; null when there is nothing to heed. All sessions of an address space have the same: one may be told of what another one gave up.
    /// </summary>
    internal Snapshots.ClientReads? Reads
    {
        get => Space is null ? _reads : Space.Reads;
        set
        {
            if (Space is null)
            {
                _reads = value;
            }
            else
            {
                Space.Reads = value;
            }
        }
    }

    /// <summary>Whether pages may be protected for a snapshot. On record.</summary>
    internal bool IsFrozen { get; set; }

    /// <summary>What an operator has under way with it, in words; null for nothing.</summary>
    internal string? Work { get; set; }

    /// <summary>Whether SIGKILL was refused (EPERM): its pages are poisoned instead.</summary>
    internal bool CannotBeKilled { get; set; }

    /// <summary>When the process was seen to have exited although its memory lives on in somebody else's hands; 0 for not.</summary>
    internal long ExitedAt { get; set; }

    /// <summary>Puts on record what the session is now, apart from its regions and pages, which record themselves.</summary>
    internal void Record() => Ledger.Write(new SessionRecord
    {
        Id = Id,
        ForkToken = ForkToken,
        StartedAt = StartedAt,
        StartedSinceBoot = StartedSinceBoot,
        Pid = Pid,
        ProcessStartTime = ProcessStartTime,
        ParentId = ParentId,
        ParentPid = ParentPid,
        Tenant = Tenant.Name,
        Weight = Tenant.Weight,
        Limits = Tenant.Limits,
        Label = Label,
        Features = (ulong)Features,
        DefaultPolicy = _defaultPolicyDocument ??= Ledger.Use(DefaultPolicy),
        HasKeeper = HasKeeper,
        IsUserModeOnly = IsUserModeOnly,
        IsAdopting = State == SessionState.Adopting,
        IsCondemned = State == SessionState.Condemned,
        TrackedSince = TrackedSince,
        IsFrozen = IsFrozen,
        OwnerRecord = OwnerRecord.ToArray(),
    });

    /// <summary>Goes on with the ledger of an earlier manager.</summary>
    internal void Resume(RecoveredSession recovered)
    {
        _defaultPolicyDocument = Ledger.Use(DefaultPolicy);
        Pages.Resume(recovered.TableBytes);
        ResidentBytes = recovered.PresentBytes;
        Counters.ResidentBytes += recovered.PresentBytes;
    }

    /// <summary>A name for logs: "session 7 (pid 123, redis-server, tenant web)".</summary>
    public override string ToString() => $"session {Id} (pid {Pid}, {Label}, tenant {Tenant.Name})";

    internal void Identify(int pid, ulong startTime, SafePidFd? pidFd)
    {
        ProcessStartTime = startTime;
        PidFd = pidFd;
        Volatile.Write(ref _pid, pid);
    }
}
