using UffdManager.Linux;

namespace UffdManager.Daemon.Configuration;

/// <summary>Rules of the section <c>snapshots</c>.</summary>
internal static class SnapshotRules
{
    public static void Check(SettingsReader reader, ManagerConfiguration configuration)
    {
        Dictionary<string, (string Name, SnapshotSocketOptions Socket)> sockets = new(StringComparer.Ordinal);
        Dictionary<string, string> claims = new(StringComparer.Ordinal);
        foreach ((string name, SnapshotOptions snapshot) in configuration.Snapshots)
        {
            string path = $"snapshots.{name}";
            if (snapshot.Socket.Path == configuration.Listen.Socket || (configuration.Control.Enabled && snapshot.Socket.Path == configuration.Control.Socket))
                reader.Fail($"{path}.socket", "must be neither listen.socket nor control.socket: they speak different protocols");
            string beside = UnixSocket.NameBeside(snapshot.Socket.Path);
            if (beside == configuration.Listen.Socket || (configuration.Control.Enabled && beside == configuration.Control.Socket))
                reader.Fail($"{path}.socket", "must be neither listen.socket nor control.socket without their end .new: it is made under the name of one of them");
            if (snapshot.Socket.Path.EndsWith(UnixSocket.ReservedEnd, StringComparison.Ordinal))
                reader.Fail($"{path}.socket", $"must not end in {UnixSocket.ReservedEnd}: another socket may be made under that name");
            if (snapshot.Socket.Path.Length > 0 && !sockets.TryAdd(snapshot.Socket.Path, (name, snapshot.Socket)) && sockets[snapshot.Socket.Path].Socket != snapshot.Socket)
                reader.Fail($"{path}.socket", $"is that of snapshots.{sockets[snapshot.Socket.Path].Name}, which gives another protocol, owner, mode or timeout");
            foreach (string claim in snapshot.Match.Claims)
            {
                if (!claims.TryAdd($"{snapshot.Socket.Path} {claim}", name))
                    reader.Fail($"{path}.match", $"{claim} of that socket belongs to snapshots.{claims[$"{snapshot.Socket.Path} {claim}"]} already");
            }

            CheckTenant(reader, configuration, path, snapshot);
        }
    }

    private static void CheckTenant(SettingsReader reader, ManagerConfiguration configuration, string path, SnapshotOptions snapshot)
    {
        if (snapshot.Tenant.Length == 0)
            return;
        if (!configuration.Tenants.TryGetValue(snapshot.Tenant, out TenantOptions? tenant))
        {
            reader.Fail($"{path}.tenant", $"\"{snapshot.Tenant}\" is not allowed; allowed are the names under tenants: {string.Join(", ", configuration.Tenants.Keys)}");
            return;
        }

        bool mayUse = snapshot.Policy.Length == 0
            || snapshot.Policy.Equals(tenant.DefaultPolicy, StringComparison.OrdinalIgnoreCase)
            || tenant.Policies.Any(policy => policy == "*" || policy.Equals(snapshot.Policy, StringComparison.OrdinalIgnoreCase));
        if (!mayUse || (snapshot.Policy.Length > 0 && !configuration.Policies.ContainsKey(snapshot.Policy)))
            reader.Fail($"{path}.policy", $"\"{snapshot.Policy}\" is not allowed; allowed are policies that tenants.{snapshot.Tenant} may use");
    }
}
