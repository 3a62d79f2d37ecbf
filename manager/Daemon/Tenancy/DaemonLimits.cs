namespace UffdManager.Daemon.Tenancy;

/// <summary>What one tenant may make the daemon hold, beside the engine's own limits. Every number is a maximum; none may be zero.</summary>
/// <param name="Connections">Open connections on all front doors together.</param>
/// <param name="Sources">Files kept open as page sources.</param>
/// <param name="SourceBytes">Sizes of these files together.</param>
/// <param name="Maps">Shared images made by MAP.</param>
/// <param name="MapBytes">Bytes of all shared images together.</param>
public sealed record DaemonLimits(int Connections, int Sources, long SourceBytes, int Maps, long MapBytes);
