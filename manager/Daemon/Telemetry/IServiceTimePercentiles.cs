namespace UffdManager.Daemon.Telemetry;

/// <summary>How fast faults are served, per tenant, since the daemon started.</summary>
public interface IServiceTimePercentiles
{
    /// <summary>The percentiles of one tenant; all zero for a tenant without faults. Any thread; takes no lock.</summary>
    /// <param name="tenant">The tenant's name.</param>
    ServiceTimes Read(string tenant);

    /// <summary>The percentiles of all tenants together. Any thread; takes no lock.</summary>
    ServiceTimes ReadAll() => default;
}
