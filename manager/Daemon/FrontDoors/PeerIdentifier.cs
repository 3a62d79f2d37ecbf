using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>Tells who is at the other end of a connection, as <see cref="PeerProcess.TryIdentify(SafeSocketFd, out uint, out Errno)"/> does.</summary>
/// <param name="socket">The connection.</param>
/// <param name="uid">Of the process; known in any case.</param>
/// <param name="errno">Why not.</param>
/// <returns>The process; null if it has gone, or cannot be had.</returns>
internal delegate PeerProcess? PeerIdentifier(SafeSocketFd socket, out uint uid, out Errno errno);
