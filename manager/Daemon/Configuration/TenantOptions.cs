namespace UffdManager.Daemon.Configuration;

/// <summary>Who is served, and with what: section <c>tenants.NAME</c>.</summary>
public sealed record TenantOptions
{
    /// <summary>Peers that belong to this tenant.</summary>
    public required TenantMatchOptions Match { get; init; }

    /// <summary>Whether every peer that matches no tenant belongs to this one. At most one tenant may say so.</summary>
    public required bool Default { get; init; }

    /// <summary>Name of the policy a session gets that asks for none.</summary>
    public required string DefaultPolicy { get; init; }

    /// <summary>Names of the policies the tenant may ask for beside the default one; "*" is all.</summary>
    public required IReadOnlyList<string> Policies { get; init; }

    /// <summary>Absolute paths of the directories below which the tenant may name source files.</summary>
    public required IReadOnlyList<string> SourceDirectories { get; init; }

    /// <summary>Names of the images that clients may name as a source; "*" is all.</summary>
    public required IReadOnlyList<string> Images { get; init; }

    /// <summary>Whether clients may hand over an open file as a source.</summary>
    public required bool SourceDescriptors { get; init; }

    /// <summary>Share of the fetch threads against other tenants, 1 to 1000.</summary>
    public required int Weight { get; init; }

    /// <summary>Limits.</summary>
    public required TenantLimitOptions Limits { get; init; }
}
