using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;
using UffdManager.Linux;

namespace UffdManager.Daemon.Control;

/// <summary>What a peer may do, by the configuration in use at the moment it asks.</summary>
internal sealed class AccessRules(ConfigurationInUse configuration)
{
    private const uint Root = 0;

    private readonly uint _ownUid = ProcessInfo.EffectiveUid;

    public AccessRight Of(ControlPeer peer)
    {
        ControlAccessOptions access = configuration.Now.Loaded.Value!.ControlAccess;
        uint uid = peer.Credentials.Uid;
        return uid == Root || uid == _ownUid || access.AdminUids.Contains(uid) || access.AdminGids.Any(peer.IsIn) ? AccessRight.Admin
            : access.ReadUids.Contains(uid) || access.ReadGids.Any(peer.IsIn) ? AccessRight.Read
            : AccessRight.None;
    }
}
