using System.Net;

namespace UffdManager.Daemon.Configuration;

/// <summary>What is allowed but probably not meant.</summary>
internal static class ConfigurationWarnings
{
    private const uint WritableByOthers = 2;

    public static IEnumerable<string> Of(ManagerConfiguration configuration)
    {
        if ((configuration.Listen.Mode & WritableByOthers) != 0)
        {
            yield return $"listen.mode {SettingText.FormatMode(configuration.Listen.Mode)} lets every user of this host connect; "
                + "whom a tenant matches may get an open /dev/userfaultfd";
        }

        if (configuration.Metrics.Enabled && IPAddress.TryParse(configuration.Metrics.Address, out IPAddress? address) && !IPAddress.IsLoopback(address))
            yield return $"metrics.address {address} is reachable from other hosts, and the endpoint has no authentication";

        foreach ((string name, TenantOptions tenant) in configuration.Tenants)
        {
            foreach (string directory in tenant.SourceDirectories.Where(directory => !Directory.Exists(directory)))
                yield return $"tenants.{name}.sourceDirectories: {directory} does not exist now";
        }
    }
}
