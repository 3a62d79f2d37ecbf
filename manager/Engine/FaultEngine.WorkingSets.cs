using UffdManager.Engine.WorkingSets;

namespace UffdManager.Engine;

/// <content>What is known of the working sets of sources.</content>
public sealed partial class FaultEngine
{
    /// <summary>Of all sources that were used lately, in no order.</summary>
    public IReadOnlyList<WorkingSetReading> ReadWorkingSets() => WorkingSets.Read();

    /// <summary>Of one source, here or in the store.</summary>
    /// <param name="key">The source, the tenant, and the size of the pages.</param>
    /// <param name="location">Where the file is, for the store.</param>
    /// <returns>Null when nothing is known of it.</returns>
    public Task<WorkingSetReading?> LookAtWorkingSetAsync(TraceKey key, string? location) => WorkingSets.LookAsync(key, location);

    /// <summary>Forgets what is known of one source: the next run is served on demand, and learnt from.</summary>
    /// <param name="key">The source, the tenant, and the size of the pages.</param>
    /// <param name="location">Where the file is, for the store.</param>
    /// <returns>Whether anything was known.</returns>
    public Task<bool> ForgetWorkingSetAsync(TraceKey key, string? location) => WorkingSets.ForgetAsync(key, location);
}
