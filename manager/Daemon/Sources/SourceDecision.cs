using System.Diagnostics.CodeAnalysis;
using UffdManager.Linux;

namespace UffdManager.Daemon.Sources;

/// <summary>A page source, or the reason why there is none.</summary>
public sealed record SourceDecision
{
    private SourceDecision()
    {
    }

    /// <summary>The source; the caller disposes it. Null if refused.</summary>
    public SourceLease? Lease { get; private init; }

    /// <summary>What the kernel would say; <see cref="Errno.OK"/> if granted.</summary>
    public Errno Errno { get; private init; }

    /// <summary>Why there is none, in words for the client's user.</summary>
    public string? Refusal { get; private init; }

    /// <summary>Whether the reason is the tenant's limit on open sources.</summary>
    public bool LimitReached { get; private init; }

    /// <summary>Whether there is a source.</summary>
    [MemberNotNullWhen(true, nameof(Lease))]
    [MemberNotNullWhen(false, nameof(Refusal))]
    public bool IsGranted => Lease is not null;

    internal static SourceDecision Granted(SourceLease lease) => new() { Lease = lease };

    internal static SourceDecision Refused(Errno errno, string reason) => new() { Errno = errno, Refusal = reason };

    internal static SourceDecision OverLimit(string reason) => new() { Errno = Errno.EMFILE, Refusal = reason, LimitReached = true };
}
