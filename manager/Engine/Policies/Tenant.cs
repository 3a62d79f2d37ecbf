namespace UffdManager.Engine.Policies;

/// <summary>Who is accounted. The engine knows only the name, the weight and the limits; matching peers to tenants is the daemon's.</summary>
public sealed class Tenant
{
    /// <summary>Makes a tenant that nothing has been accounted to yet.</summary>
    /// <param name="name">Name in the configuration; the metrics' label.</param>
    /// <param name="weight">Share of the fetch threads relative to other tenants, 1..1000.</param>
    /// <param name="limits">The limits.</param>
    public Tenant(string name, int weight, TenantLimits limits)
        : this(name, weight, limits, new TenantUsage())
    {
    }

    private Tenant(string name, int weight, TenantLimits limits, TenantUsage usage)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentOutOfRangeException.ThrowIfLessThan(weight, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(weight, 1000);
        Name = name;
        Weight = weight;
        Limits = limits;
        Usage = usage;
    }

    /// <summary>Name in the configuration.</summary>
    public string Name { get; }

    /// <summary>Share of the fetch threads relative to other tenants.</summary>
    public int Weight { get; }

    /// <summary>The limits that hold for sessions attached through this object.</summary>
    public TenantLimits Limits { get; }

    /// <summary>What the tenant holds; shared with the tenants made by <see cref="With"/>.</summary>
    public TenantUsage Usage { get; }

    /// <summary>The same tenant after a configuration reload: new limits, accounting goes on.</summary>
    public Tenant With(int weight, TenantLimits limits) => new(Name, weight, limits, Usage);
}
