using UffdManager.Engine.Policies;
using UffdManager.Linux;

namespace UffdManager.Engine;

/// <summary>A userfaultfd to serve. The engine owns the two descriptors from the call on, whatever the outcome.</summary>
public sealed record AttachRequest
{
    /// <summary>Longest <see cref="OwnerRecord"/>, bytes.</summary>
    public const int MaximumOwnerRecord = 2048;

    /// <summary>The userfaultfd.</summary>
    public required SafeUffd Uffd { get; init; }

    /// <summary>The process whose address space it is.</summary>
    public required int Pid { get; init; }

    /// <summary>Start time of that process, clock ticks since boot.</summary>
    public required ulong ProcessStartTime { get; init; }

    /// <summary>Descriptor of that process.</summary>
    public required SafePidFd PidFd { get; init; }

    /// <summary>Who is accounted.</summary>
    public required Tenant Tenant { get; init; }

    /// <summary>Policy of regions that name none.</summary>
    public required Policy DefaultPolicy { get; init; }

    /// <summary>The client's own name for it, for logs.</summary>
    public string Label { get; init; } = string.Empty;

    /// <summary>Features that the client wants besides those that the engine always asks for; unavailable ones are left out.</summary>
    public UffdFeatures RequestedFeatures { get; init; }

    /// <summary>Whether the client has done UFFDIO_API itself; its features are then read from fdinfo.</summary>
    public bool ApiDone { get; init; }

    /// <summary>Whether the client's side keeps a duplicate for as long as its process lives.</summary>
    public bool HasKeeper { get; init; }

    /// <summary>Whether the userfaultfd reports faults of user mode only (UFFD_USER_MODE_ONLY), as its client says: the kernel tells nobody.</summary>
    public bool IsUserModeOnly { get; init; }

    /// <summary>
    /// Whether the descriptor carries registrations made under an earlier manager. They are read from smaps; faults wait until the
    /// client has registered what is not zero-filled again and ends the adoption with a wake of everything.
    /// </summary>
    public bool Adopt { get; init; }

    /// <summary>
    /// Ranges that the client has registered on the userfaultfd itself, which must then be all of them; needs <see cref="ApiDone"/>, not with <see cref="Adopt"/>. The session
    /// begins with all of them or not at all, and what the kernel has registered stays registered in either case.
    /// </summary>
    public IReadOnlyList<RegisteredRange> Registered { get; init; } = [];

    /// <summary>
    /// What the owner wants to find again with the session after a restart, opaque to the engine; at most
    /// <see cref="MaximumOwnerRecord"/> bytes.
    /// </summary>
    public ReadOnlyMemory<byte> OwnerRecord { get; init; }
}
