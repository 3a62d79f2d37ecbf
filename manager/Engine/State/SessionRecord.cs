using UffdManager.Engine.Policies;

namespace UffdManager.Engine.State;

/// <summary>What a session is, apart from its regions and pages.</summary>
internal sealed record SessionRecord
{
    public required long Id { get; init; }

    public required ulong ForkToken { get; init; }

    /// <summary>Monotonic nanoseconds.</summary>
    public long StartedAt { get; init; }

    /// <summary>The same by CLOCK_BOOTTIME, which goes on while the machine sleeps, as the start times of processes do; 0 in records of older builds.</summary>
    public long StartedSinceBoot { get; init; }

    public int Pid { get; init; }

    public ulong ProcessStartTime { get; init; }

    public long ParentId { get; init; }

    public int ParentPid { get; init; }

    public required string Tenant { get; init; }

    public required int Weight { get; init; }

    public required TenantLimits Limits { get; init; }

    public required string Label { get; init; }

    public required ulong Features { get; init; }

    /// <summary>Ordinal of the default policy's document.</summary>
    public required int DefaultPolicy { get; init; }

    public bool HasKeeper { get; init; }

    /// <summary>Whether its client's system calls fail with EFAULT where a page is missing or protected.</summary>
    public bool IsUserModeOnly { get; init; }

    public bool IsAdopting { get; init; }

    public bool IsCondemned { get; init; }

    /// <summary>Monotonic nanoseconds; 0 while changed pages are not noted.</summary>
    public long TrackedSince { get; init; }

    /// <summary>Whether pages may be protected for a snapshot.</summary>
    public bool IsFrozen { get; init; }

    public byte[] OwnerRecord { get; init; } = [];
}
