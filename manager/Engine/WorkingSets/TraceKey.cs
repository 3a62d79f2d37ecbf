using UffdManager.Engine.Sources;

namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// What a trace is of. The tenant is part of it: which pages the run of one tenant touched must not be seen by another, not even by
/// how long its own pages take.
/// </summary>
/// <param name="Tenant">Name of the tenant.</param>
/// <param name="Source">The contents.</param>
/// <param name="PageBytes">Size of the pages that were touched: the base page, or a huge page.</param>
public readonly record struct TraceKey(string Tenant, SourceIdentity Source, int PageBytes)
{
    /// <summary>Pages of the source, the last one perhaps in part.</summary>
    internal long Pages => (Source.Size + PageBytes - 1) / PageBytes;
}
