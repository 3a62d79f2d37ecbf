namespace UffdManager.Daemon.Inspection;

/// <summary>Which sessions are wanted; null fits all.</summary>
/// <param name="Tenant">Name of the tenant, in any case.</param>
/// <param name="State">Word of the state.</param>
/// <param name="Pid">Process.</param>
internal sealed record SessionFilter(string? Tenant = null, string? State = null, int? Pid = null)
{
    public bool Fits(Engine.Sessions.Session session) =>
        (Tenant is null || session.Tenant.Name.Equals(Tenant, StringComparison.OrdinalIgnoreCase))
        && (State is null || Words.Of(session.State) == State)
        && (Pid is null || session.Pid == Pid);
}
