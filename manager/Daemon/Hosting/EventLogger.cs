using Microsoft.Extensions.Logging;
using UffdManager.Engine;
using UffdManager.Engine.Sessions;

namespace UffdManager.Daemon.Hosting;

/// <summary>
/// Says in the log what happens to clients. A healthy session costs two lines, its start and its end, and a forked child none; the rest is
/// about clients and sources that fail. Everything a client can cause at will is throttled per tenant; how sessions end when the manager
/// stops is always told.
/// </summary>
internal sealed partial class EventLogger(ILogger<EventLogger> logger, TimeProvider time) : IEngineEventSink
{
    private readonly LogThrottle _lives = new(burst: 200, TimeSpan.FromMilliseconds(100), time);
    private readonly LogThrottle _troubles = new(time);

    public void OnEvent(EngineEvent engineEvent)
    {
        switch (engineEvent)
        {
            case SessionStarted e:
                if (MayTell(_lives, e))
                    LogSessionStarted(e.Session.Id, e.Session.Pid, e.Session.Tenant.Name, e.Session.Label, e.Session.DefaultPolicy.Name);
                return;
            case ForkAdopted e:
                LogForkAdopted(e.Session.Id, e.Session.Tenant.Name, e.Parent.Id);
                return;
            case ForkIdentified e:
                LogForkIdentified(e.Session.Id, e.Session.Pid);
                return;
            case SessionEnded { Reason: SessionEndReason.Released } e:
                LogReleased(e.Session.Id, e.Session.Pid, e.Faults, e.CopiedBytes);
                return;
            case SessionEnded { Reason: SessionEndReason.HandedOver }:
                // It goes on; the hand-over says in one line how many do.
                return;
            case SessionEnded { Reason: SessionEndReason.LeftToKeeper } e:
                LogLeftToKeeper(e.Session.Id, e.Session.Pid, e.Faults, e.CopiedBytes);
                return;
            case SessionEnded { Reason: SessionEndReason.ClientKilled } e:
                LogEndedByKill(e.Session.Id, e.Session.Pid, e.Faults, e.CopiedBytes);
                return;
            case SessionEnded { Session.ParentId: not 0 } e:
                LogChildEnded(e.Session.Id, e.Session.Pid, Words(e.Reason), e.Faults, e.CopiedBytes);
                return;
            case SessionEnded e:
                if (MayTell(_lives, e))
                    LogSessionEnded(e.Session.Id, e.Session.Pid, Words(e.Reason), e.Faults, e.CopiedBytes);
                return;
            default:
                if (MayTell(_troubles, engineEvent))
                    LogTrouble(engineEvent);
                return;
        }
    }

    private bool MayTell(LogThrottle throttle, EngineEvent engineEvent)
    {
        if (!throttle.TryEnter(engineEvent.GetType(), engineEvent.Session.Tenant.Name, out long suppressed))
            return false;
        if (suppressed > 0)
            LogSuppressed(suppressed, engineEvent.GetType().Name, engineEvent.Session.Tenant.Name);
        return true;
    }

    private void LogTrouble(EngineEvent engineEvent)
    {
        Session session = engineEvent.Session;
        switch (engineEvent)
        {
            case ForkRefused e:
                LogForkRefused(session.Id, session.Tenant.Name, e.Why, e.Released ? "left to the kernel's zero fill" : "killed as soon as it needs a page");
                break;
            case RangeConflict e:
                LogConflict(session.Id, session.Pid, e.Start, e.Length, Words(e.Holder));
                break;
            case ClientKilled e:
                LogClientKilled(session.Id, session.Pid, session.Tenant.Name, e.Address, e.Reason);
                break;
            case PagePoisoned e:
                LogPagePoisoned(session.Id, session.Pid, session.Tenant.Name, e.Address, e.Reason);
                break;
            case SourceFailed e:
                LogSourceFailed(session.Id, session.Tenant.Name, e.Source, e.Offset, e.Errno, e.Attempts);
                break;
            case HugePoolExhausted e:
                LogHugePoolExhausted(session.Id, session.Pid, e.Address);
                break;
            case ClientMisbehaved e:
                LogMisbehaved(session.Id, session.Pid, session.Tenant.Name, e.What);
                break;
            default:
                LogOther(session.Id, engineEvent);
                break;
        }
    }

    private static string Words(RangeHolder holder) => holder.SessionId == 0
        ? "somebody outside this manager"
        : $"session {holder.SessionId} of pid {holder.Pid}, tenant {holder.Tenant}, 0x{holder.Start:x}+0x{holder.Length:x}";

    private static string Words(SessionEndReason reason) => reason switch
    {
        SessionEndReason.ClientExited => "the process is gone",
        SessionEndReason.AddressSpaceGone => "the process has another address space now",
        SessionEndReason.Bye => "the client took its leave",
        _ => reason.ToString(),
    };
}
