using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Supervision;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <content>From a complete message to a session.</content>
internal sealed partial class SnapshotPeer
{
    private const string Request = "hand_over";

    private void Take(MemoryHandOver handOver)
    {
        _isAttaching = true;
        Deadline = 0;
        Unwatch();
        _entry!.Attaching++;
        _ = TakeAsync(handOver, _entry, _tenant!);
    }

    private async Task TakeAsync(MemoryHandOver handOver, SnapshotEntry entry, TenantGrant tenant)
    {
        long began = _loop.Services.Time.GetTimestamp();
        (HandOverRefusal Reason, string Text)? refusal;
        try
        {
            refusal = await TryTakeAsync(handOver, entry, tenant);
        }
        catch (SyscallException e)
        {
            refusal = (HandOverRefusal.Failed, e.Message);
        }
#pragma warning disable CA1031 // One VM's hand-over must not end the front door for all; the log has the defect.
        catch (Exception e)
#pragma warning restore CA1031
        {
            _loop.LogFailure(e, _process.Identity, _listener.Options.Path);
            refusal = (HandOverRefusal.Failed, "the manager failed; its log says why");
        }

        entry.Attaching--;
        if (refusal is null)
            entry.HandedOver++;
        _loop.Services.Telemetry.RequestCompleted(
            SnapshotDoor.DoorName, tenant.Name, Request, refusal is null ? "ok" : "refused", _loop.Services.Time.GetElapsedTime(began));
        if (refusal is { } reason)
            Refuse(reason.Reason, reason.Text);
        else
            Finish();
    }

    private async Task<(HandOverRefusal Reason, string Text)?> TryTakeAsync(MemoryHandOver handOver, SnapshotEntry entry, TenantGrant tenant)
    {
        SnapshotServices services = _loop.Services;
        if (_isInherited && await services.Engine.IsServedAsync(_process.Pid, _process.StartTime, _descriptors.Borrow(handOver.Uffd)!))
            return null;
        if (services.Drain is { IsDraining: true })
            return (HandOverRefusal.Draining, "the manager is being drained and takes no new VMs: use another one, or end the drain");
        int most = entry.Options.MaxVms;
        if (most > 0 && services.Sessions.Of(entry.Name).Count + entry.Attaching > most)
            return (HandOverRefusal.Limit, $"snapshot {entry.Name} has its {most} VMs; end one, or raise its maxVms");
        PolicyDecision policy = services.Policies.Find(tenant, entry.Options.Policy);
        if (!policy.IsGranted)
            return (HandOverRefusal.BadImage, policy.Refusal);
        SourceDecision source = await _loop.Blocking.RunAsync(tenant.Name, () => services.Sources.OpenNamed(tenant, entry.Options.Image));
        if (!source.IsGranted)
            return (source.LimitReached ? HandOverRefusal.Limit : HandOverRefusal.BadImage, source.Refusal);
        using SourceLease image = source.Lease;

        // One of the front door's stays until it is known what became of it: the engine closes its own when it refuses, and then the VM still lives.
        AttachRequest request = new()
        {
            Pid = _process.Pid,
            ProcessStartTime = _process.StartTime,
            PidFd = _process.DuplicatePidFd(),
            Uffd = _descriptors.Borrow(handOver.Uffd)!.Duplicate<SafeUffd>(),
            Tenant = tenant.Tenant,
            DefaultPolicy = policy.Grant.Policy,
            Label = entry.Name,
            ApiDone = true,
            Registered = [.. handOver.Regions.Select(region => new RegisteredRange
            {
                Start = region.Start,
                Length = region.Length,
                PageBytes = handOver.PageBytes,
                Source = image.Source,
                SourceOffset = region.Offset,
            })],
            OwnerRecord = new OwnerRecord { Snapshot = entry.Name, SnapshotPeer = _number }.Encode(),
        };

        // Looks at the address space, which waits for a lock of the VM.
        AttachResult result = await await _loop.Blocking.RunAsync(tenant.Name, () => services.Engine.AttachAsync(request));
        if (result.Session is { } session)
        {
            services.Sessions.Add(entry.Name, session, _number);
            return null;
        }

        return IsServedAlready(result.Error) ? null : (ReasonOf(result.Error?.Kind), result.Error?.Text ?? "the process has gone");
    }

    // The manager before this one may have been killed between the session and the end of the connection.
    private bool IsOfThisProcess(Session session) => session.Pid == _process.Pid && session.ProcessStartTime == _process.StartTime;

    private bool IsServedAlready(EngineError? error) =>
        error is { Kind: EngineErrorKind.Conflict, Holder: { Length: 0, SessionId: not 0 } holder }
        && _loop.Services.Engine.FindSession(holder.SessionId) is { } session
        && IsOfThisProcess(session);

    private static HandOverRefusal ReasonOf(EngineErrorKind? kind) => kind switch
    {
        EngineErrorKind.Limit => HandOverRefusal.Limit,
        EngineErrorKind.Invalid or EngineErrorKind.Source or EngineErrorKind.Conflict => HandOverRefusal.BadMemory,
        _ => HandOverRefusal.Failed,
    };

    private void Finish()
    {
        if (_isClosed)
            return;
        _isLeaving = false;
        _isServed = true;

        UnixSocket.StopReceiving(_socket);

        // Unread bytes would make the peer's side of the connection fail with ECONNRESET. Whatever descriptors are among them never come into the table.
        UnixSocket.Discard(_socket);
        Dispose();
    }
}
