using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>Gives a pidfd of who connected, as <see cref="UnixSocket.TryGetPeerPidFd"/> does.</summary>
/// <param name="socket">The connection.</param>
/// <param name="errno">Why not.</param>
/// <returns>The caller's; null if there is none.</returns>
internal delegate SafePidFd? PeerPidFdSource(SafeSocketFd socket, out Errno errno);
