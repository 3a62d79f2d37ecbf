using System.Diagnostics.CodeAnalysis;

namespace UffdManager.Daemon.Tenancy;

/// <summary>A tenant, or the reason why there is none.</summary>
public sealed record TenantDecision
{
    private TenantDecision(TenantGrant? grant, string? refusal)
    {
        Grant = grant;
        Refusal = refusal;
    }

    /// <summary>What the peer got; null if it is refused.</summary>
    public TenantGrant? Grant { get; }

    /// <summary>Why the peer is refused, in words for its user; null if it is not.</summary>
    public string? Refusal { get; }

    /// <summary>Whether the peer is let in.</summary>
    [MemberNotNullWhen(true, nameof(Grant))]
    [MemberNotNullWhen(false, nameof(Refusal))]
    public bool IsGranted => Grant is not null;

    internal static TenantDecision Granted(TenantGrant grant) => new(grant, refusal: null);

    internal static TenantDecision Refused(string reason) => new(grant: null, reason);
}
