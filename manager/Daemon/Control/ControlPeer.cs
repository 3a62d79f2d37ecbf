using System.Net.Sockets;
using UffdManager.Linux;

namespace UffdManager.Daemon.Control;

/// <summary>Who connected to the control socket, as the kernel noted it at connect(2).</summary>
/// <param name="Credentials">Process, effective user and group.</param>
/// <param name="Groups">Supplementary groups; empty where the kernel does not tell them.</param>
internal sealed record ControlPeer(PeerCredentials Credentials, IReadOnlyList<uint> Groups)
{
    /// <exception cref="SyscallException">The socket is none, or not of this family.</exception>
    public static ControlPeer Of(Socket socket) => new(UnixSocket.GetPeerCredentials(socket), UnixSocket.GetPeerGroups(socket));

    public bool IsIn(uint group) => Credentials.Gid == group || Groups.Contains(group);

    /// <summary>For the log: "uid 1000 (pid 4711, uffdctl)".</summary>
    public override string ToString() =>
        $"uid {Credentials.Uid} (pid {Credentials.Pid}, {(ProcessInfo.ReadComm(Credentials.Pid) is { } command ? Inspection.Words.Printable(command) : "gone")})";
}
