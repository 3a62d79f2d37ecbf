using UffdManager.Daemon.Configuration;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>A snapshot at one moment, for those who look from outside.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Options">How it is served.</param>
/// <param name="IsConfigured">Whether the configuration has it; false: it was made at run time.</param>
/// <param name="Problem">Why it is not served; null if it is.</param>
/// <param name="Attaching">VMs that are being taken over.</param>
/// <param name="HandedOver">VMs taken over since the manager started.</param>
/// <param name="Refused">VMs refused since then.</param>
internal sealed record SnapshotView(string Name, SnapshotOptions Options, bool IsConfigured, string? Problem, int Attaching, long HandedOver, long Refused);
