namespace UffdManager.Daemon.Tenancy;

/// <summary>The policies that clients may ask for. Any thread; no I/O; follows configuration reloads.</summary>
public interface IPolicyCatalog
{
    /// <summary>Finds a policy for a tenant.</summary>
    /// <param name="tenant">Who asks.</param>
    /// <param name="name">The policy's name; empty for the tenant's default policy.</param>
    /// <returns>The policy, or a refusal that does not tell an unknown policy from a forbidden one.</returns>
    PolicyDecision Find(TenantGrant tenant, string name);
}
