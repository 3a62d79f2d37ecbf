using UffdManager.Engine.Policies;

namespace UffdManager.Daemon.Tenancy;

/// <summary>A policy as a tenant may use it.</summary>
/// <param name="Policy">The policy as the engine knows it.</param>
/// <param name="SourceOffset">Bytes to add to the client's offset when the policy's own source is used.</param>
/// <param name="RemoveMeansSource">Whether regions get <see cref="UffdManager.Engine.Regions.RegionFlags.RemoveMeansSource"/>.</param>
public sealed record PolicyGrant(Policy Policy, long SourceOffset, bool RemoveMeansSource);
