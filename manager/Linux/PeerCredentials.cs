namespace UffdManager.Linux;

/// <summary>Who made a connection, as the kernel noted it at connect (SO_PEERCRED), in our namespaces.</summary>
/// <param name="Pid">The process; 0 when it lies outside our pid namespace. It may have gone, and its number be another's.</param>
/// <param name="Uid">Its effective user.</param>
/// <param name="Gid">Its effective group.</param>
public readonly record struct PeerCredentials(int Pid, uint Uid, uint Gid);
