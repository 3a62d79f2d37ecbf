using System.Collections.Concurrent;

namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// The values of the <c>tenant</c> label. Tenants come from the configuration, which can be reloaded with new names for ever, while a
/// series once exported stays for the life of the process: the first ones keep their names, all others share one.
/// </summary>
internal sealed class TenantLabels(int limit = Instruments.MaxTenants)
{
    /// <summary>The label of the tenants beyond the limit; the configuration allows no parentheses in a name.</summary>
    public const string Other = "(other)";

    private readonly ConcurrentDictionary<string, string> _labels = new(StringComparer.Ordinal);
    private int _count;

    /// <summary>The label of a tenant, the same at every call. Any thread.</summary>
    public string Of(string tenant)
    {
        if (_labels.TryGetValue(tenant, out string? label))
        {
            return label;
        }

        // Beyond the limit nothing is remembered, which bounds this table as well.
        if (Volatile.Read(ref _count) >= limit)
        {
            return Other;
        }

        if (_labels.TryAdd(tenant, tenant))
        {
            Interlocked.Increment(ref _count);
        }

        return tenant;
    }
}
