using System.Diagnostics.CodeAnalysis;

namespace UffdManager.Daemon.Tenancy;

/// <summary>A policy, or the reason why there is none.</summary>
public sealed record PolicyDecision
{
    private PolicyDecision(PolicyGrant? grant, string? refusal)
    {
        Grant = grant;
        Refusal = refusal;
    }

    /// <summary>The policy; null if it is refused.</summary>
    public PolicyGrant? Grant { get; }

    /// <summary>Why it is refused; null if it is not.</summary>
    public string? Refusal { get; }

    /// <summary>Whether the policy may be used.</summary>
    [MemberNotNullWhen(true, nameof(Grant))]
    [MemberNotNullWhen(false, nameof(Refusal))]
    public bool IsGranted => Grant is not null;

    internal static PolicyDecision Granted(PolicyGrant grant) => new(grant, refusal: null);

    internal static PolicyDecision Refused(string reason) => new(grant: null, reason);
}
