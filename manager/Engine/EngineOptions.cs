using UffdManager.Engine.Images;
using UffdManager.Engine.State;
using UffdManager.Engine.WorkingSets;

namespace UffdManager.Engine;

/// <summary>Sizes and periods of the engine. All are fixed at start.</summary>
public sealed record EngineOptions
{
    /// <summary>Fault loops, each one thread with one epoll instance, 1..64. Default: one per core, up to 4.</summary>
    public int FaultLoops { get; init; } = Math.Clamp(Environment.ProcessorCount, 1, 4);

    /// <summary>Whether fault loop n is pinned to the n-th CPU that the process may use. Default: no.</summary>
    public bool PinLoops { get; init; }

    /// <summary>
    /// Nice value of the fault loops, -20..19, best effort (below 0 needs CAP_SYS_NICE). A loop works for microseconds at a time and goes before the daemon's own control side.
    /// No lower: a client of nice 0 on the loop's own CPU is then let run at once when its page is there (measured on 6.18: 31,000 of 32,768 times at -1, 14,000 at -5), which makes
    /// the round trip 10 % shorter and spares the loop as much CPU, or a quarter of it where many threads fault. Default: -1.
    /// </summary>
    public int LoopNice { get; init; } = -1;

    /// <summary>Threads that may wait for slow sources, over all tenants; at least one per active tenant is always granted. Default: 16.</summary>
    public int FetchThreads { get; init; } = 16;

    /// <summary>Fetches of one tenant that may run at the same time. Default: 8.</summary>
    public int FetchConcurrencyPerTenant { get; init; } = 8;

    /// <summary>
    /// How often each session is asked whether its address space still exists. Exit is seen at once through the pidfd; this finds exec,
    /// and the death of forked children that never introduced themselves. Default: one second.
    /// </summary>
    public TimeSpan LivenessSweep { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// How long nothing is read of a session that is just being forked, or changes otherwise, while what is stored would wait in this process. Longer than a service manager is kept from its socket as a rule,
    /// and short enough for whoever faults meanwhile.
    /// </summary>
    internal TimeSpan ForkPatience { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>
    /// How long a registration waits for a change of the address space, or a read of a snapshot, to be over. A client whose thread is stopped in the middle of an munmap holds the change open; beyond this time
    /// the registration goes ahead, or is refused where a read is under way.
    /// </summary>
    internal TimeSpan RegisterPatience { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long a page may fault again and again in memory that is registered and of which nothing is known, before its client is given up. As long as a policy gives its source, unless it says otherwise.</summary>
    internal TimeSpan UnknownRangePatience { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long an adopted session may stay silent before its client is killed. Default: 30 seconds.</summary>
    public TimeSpan AdoptionTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Engine events kept for the reader; the oldest are dropped beyond. Default: 16384.</summary>
    public int EventCapacity { get; init; } = 16384;

    /// <summary>Where traces of working sets are kept for later runs. Default: nowhere, they last as long as the engine. Not owned.</summary>
    public ITraceStore TraceStore { get; init; } = NullTraceStore.Instance;

    /// <summary>Where chunks of layered images are kept, for sources made before and after a restart. Default: one of <see cref="ChunkCache.DefaultLimit"/>.</summary>
    public ChunkCache? ImageCache { get; init; }

    /// <summary>Where descriptors are kept for the next manager. Default: nowhere. Not owned.</summary>
    public IDescriptorStore DescriptorStore { get; init; } = NullDescriptorStore.Instance;
}
