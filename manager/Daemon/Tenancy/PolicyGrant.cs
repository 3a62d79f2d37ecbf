using UffdManager.Engine.Policies;

namespace UffdManager.Daemon.Tenancy;

/// <summary>A policy as a tenant may use it.</summary>
/// <param name="Policy">The policy as the engine knows it.</param>
/// <param name="SourceOffset">Bytes to add to the client's offset when the policy's own source is used.</param>
/// <param name="RemoveMeansSource">Whether regions get <see cref="UffdManager.Engine.Regions.RegionFlags.RemoveMeansSource"/>.</param>
public sealed record PolicyGrant(Policy Policy, long SourceOffset, bool RemoveMeansSource)
{
    /// <summary>
    /// Device and inode of the policy's own source, in the form of <see cref="Sources.SourceLease.Identity"/>; empty for zeros and where the client names the source. The
    /// policy's name says nothing of the kind: after a restart it may stand for another file.
    /// </summary>
    public string SourceIdentity { get; init; } = "";
}
