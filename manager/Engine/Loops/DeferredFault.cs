using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <summary>Why a fault could not be resolved at once.</summary>
public enum DeferralReason
{
    /// <summary>EAGAIN: an event of the same userfaultfd is unread, or its thread has not run yet.</summary>
    Changing,

    /// <summary>A rate limit of the tenant.</summary>
    Throttled,

    /// <summary>The tenant has as many pages or fetches in flight as it may.</summary>
    InFlightLimit,

    /// <summary>Another session fills the same page of a shared image.</summary>
    SharedFill,

    /// <summary>ENOMEM: the client's cgroup, or the machine, has no memory.</summary>
    NoMemory,

    /// <summary>The pool of huge pages is empty.</summary>
    HugePoolEmpty,

    /// <summary>No region is known there, and the client's mappings were looked at a moment ago.</summary>
    UnknownRange,
}

/// <summary>A fault that waits for its next try.</summary>
internal struct DeferredFault
{
    public ulong Address;
    public UffdFaultFlags Flags;
    public DeferralReason Reason;
    public int Attempts;
    public long ReadAt;

    /// <summary>As <see cref="FaultContext.Since"/>.</summary>
    public long Since;

    /// <summary>The tenant's <see cref="Policies.TenantUsage.FetchesEnded"/> when it was put back.</summary>
    public long FetchesEnded;

    public long DueAt;
}
