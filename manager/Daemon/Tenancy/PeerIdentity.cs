namespace UffdManager.Daemon.Tenancy;

/// <summary>Who is at the other end of a connection, as the kernel tells it (SO_PEERCRED, unix(7)), never as the peer claims.</summary>
/// <param name="Pid">The peer's process id in the manager's pid namespace; 0 if it lives outside of it.</param>
/// <param name="Uid">Effective user id at connect time.</param>
/// <param name="Gid">Effective group id at connect time.</param>
/// <param name="Cgroup">Path of the peer's cgroup, beginning with '/', or null if it could not be read.</param>
public sealed record PeerIdentity(int Pid, uint Uid, uint Gid, string? Cgroup)
{
    /// <inheritdoc/>
    public override string ToString() => $"pid {Pid}, uid {Uid}, gid {Gid}, cgroup {Cgroup ?? "unknown"}";
}
