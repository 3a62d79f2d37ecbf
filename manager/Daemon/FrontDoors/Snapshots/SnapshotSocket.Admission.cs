using System.Runtime.InteropServices;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <content>Whom it lets in, and when.</content>
/// <remarks>
/// Who waits in the queue of the socket is kept with it, whatever becomes of this process, and so is its message. So whatever there is not enough of, nobody is accepted to be turned away for it.
/// </remarks>
internal sealed partial class SnapshotSocket
{
    // Of those who were let in and are neither sessions nor gone: each has a place with the service manager.
    private const int MostAdmitted = 256;

    // Of these: who has more, and hands nothing over with them, has little time for each.
    private const int MostOfOne = MostAdmitted / 4;

    // Until there is a place, or the pace allows one more. A place that comes free ends it before.
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(100);

    // The service manager reads hundreds of messages in a second.
    private static readonly TimeSpan s_shortPause = TimeSpan.FromMilliseconds(10);

    // A burst of messages is no reason for a line.
    private static readonly TimeSpan s_behind = TimeSpan.FromSeconds(1);

    private readonly AdmissionPace _pace;
    private readonly LogThrottle _logThrottle;
    private readonly Dictionary<uint, int> _admittedOf = [];
    private int _admitted;
    private long _behindSince;

    /// <summary>One was accepted, and had gone already.</summary>
    public void ChargeStranger() => _pace.Charge();

    /// <summary>One was accepted.</summary>
    /// <param name="uid">Its user.</param>
    public void Enter(uint uid)
    {
        _admitted++;
        CollectionsMarshal.GetValueRefOrAddDefault(_admittedOf, uid, out _)++;
        _pace.Charge();
    }

    /// <summary>One that was accepted is over.</summary>
    /// <param name="uid">Its user.</param>
    /// <param name="isStranger">Whether it stays charged: false for a VM that is served now, and for whom another charge stands.</param>
    public void Exit(uint uid, bool isStranger)
    {
        _admitted--;
        if (--CollectionsMarshal.GetValueRefOrAddDefault(_admittedOf, uid, out _) == 0)
            _admittedOf.Remove(uid);
        if (!isStranger)
            _pace.GiveBack();
    }

    /// <summary>Whether a user has so many of the places that others may have to wait for one.</summary>
    public bool IsCrowdedBy(uint uid) => _admittedOf.GetValueOrDefault(uid) > MostOfOne;

    private TimeSpan Pause()
    {
        if (!_loop.Services.Store.IsPrompt)
        {
            _loop.Services.Telemetry.AdmissionPaused(SnapshotDoor.DoorName, AdmissionPause.StoreBehind);
            long now = _loop.Services.Time.GetTimestamp();
            _behindSince = _behindSince == 0 ? now : _behindSince;
            if (_loop.Services.Time.GetElapsedTime(_behindSince, now) >= s_behind)
                _loop.LogPaused(AdmissionPause.StoreBehind, "", Options.Path, "the service manager does not read what it is to keep");
            return s_shortPause;
        }

        _behindSince = 0;
        if (FindShortage() is not { } reason)
            return TimeSpan.Zero;
        _loop.Services.Telemetry.AdmissionPaused(SnapshotDoor.DoorName, reason);
        return s_pause;
    }

    // Each is told by itself: what one socket lacks must not keep the line of another one back.
    private AdmissionPause? FindShortage()
    {
        if (_loop.IsFull)
        {
            _loop.LogPaused(AdmissionPause.ListenerFull, "", Options.Path, $"the manager has its {_loop.Services.MaxConnections} connections: find out who connects and hands nothing over, or raise listen.maxConnections");
            return AdmissionPause.ListenerFull;
        }

        if (Entries.Count > 0 && Entries.All(entry => IsTenantFull(entry.Options)))
        {
            SnapshotOptions first = Entries[0].Options;
            _loop.LogPaused(
                AdmissionPause.ConnectionLimit,
                first.Tenant,
                Options.Path,
                $"tenant {first.Tenant} has as many connections as it may: find out who connects and hands nothing over, or raise tenants.{first.Tenant}.limits.connections");
            return AdmissionPause.ConnectionLimit;
        }

        if (_admitted >= MostAdmitted)
        {
            _loop.LogPaused(_logThrottle, AdmissionPause.SocketFull, Options.Path, $"{_admitted} who connected before have not handed anything over yet");
            return AdmissionPause.SocketFull;
        }

        if (_pace.HasRoom)
            return null;
        _loop.LogPaused(_logThrottle, AdmissionPause.Pace, Options.Path, $"more than {AdmissionPace.PerSecond} a second connect and hand nothing over");
        return AdmissionPause.Pace;
    }

    private bool IsTenantFull(SnapshotOptions options) => _loop.Services.Tenants.Find(options.Tenant) is { HasRoom: false };
}
