using System.Diagnostics;
using UffdManager.Daemon.Hosting;
using UffdManager.Engine;
using UffdManager.Engine.Sessions;

namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// One span per session, from hand-over to end, with what befell it as span events. Engine events may be lost when the reader
/// is slow, the end of a session among them; spans of sessions that are over are therefore also swept when the table is full.
/// </summary>
internal sealed class SessionTracer(TimeProvider time) : IEngineEventSink
{
    /// <summary>Sessions traced at the same time; later ones go untraced until some have ended.</summary>
    private const int MaxSessions = 16384;

    /// <summary>Span events kept per session; a collector takes no more by default.</summary>
    private const int MaxEventsPerSession = 128;

    private readonly Dictionary<long, Span> _spans = [];

    /// <inheritdoc/>
    public void OnEvent(EngineEvent engineEvent)
    {
        if (!ManagerActivities.Source.HasListeners())
        {
            return;
        }

        switch (engineEvent)
        {
            case SessionStarted started:
                Begin(started.Session, parentId: 0);
                break;
            case ForkAdopted fork:
                Begin(fork.Session, fork.Parent.Id);
                Note(fork.Parent.Id, fork.At, "fork", ("child.session", fork.Session.Id));
                break;
            case SessionEnded ended:
                End(ended);
                break;
            case ForkIdentified identified:
                Note(identified, "identified", ("process.pid", identified.Session.Pid));
                break;
            case ForkRefused refused:
                Note(refused, "fork refused", ("released", refused.Released));
                break;
            case RangeConflict conflict:
                Note(conflict, "conflict", ("range.start", Hex(conflict.Start)), ("range.length", (long)conflict.Length), ("holder.session", conflict.Holder.SessionId));
                break;
            case ClientKilled killed:
                Note(killed, "client killed", ("address", Hex(killed.Address)), ("reason", killed.Reason));
                break;
            case PagePoisoned poisoned:
                Note(poisoned, "page poisoned", ("address", Hex(poisoned.Address)), ("reason", poisoned.Reason));
                break;
            case SourceFailed failed:
                Note(failed, "source failed", ("source", failed.Source), ("offset", failed.Offset), ("errno", failed.Errno.ToString()), ("attempts", failed.Attempts));
                break;
            case HugePoolExhausted exhausted:
                Note(exhausted, "huge page pool exhausted", ("address", Hex(exhausted.Address)));
                break;
            case ClientMisbehaved misbehaved:
                Note(misbehaved, "misbehaviour", ("what", misbehaved.What));
                break;
        }
    }

    private void Begin(Session session, long parentId)
    {
        if (_spans.Count >= MaxSessions && Sweep() == 0)
        {
            return;
        }

        var tags = new ActivityTagsCollection
        {
            ["session.id"] = session.Id,
            ["tenant"] = session.Tenant.Name,
            ["client.label"] = session.Label,
            ["process.pid"] = session.Pid,
        };
        if (parentId != 0)
        {
            tags["parent.session"] = parentId;
        }

        if (ManagerActivities.StartDetached("session", WallClock.At(session.StartedAt, time), tags) is { } activity)
        {
            _spans.Add(session.Id, new(session, activity));
        }
    }

    private void End(SessionEnded ended)
    {
        if (!_spans.Remove(ended.Session.Id, out var span))
        {
            return;
        }

        span.Activity.SetTag("session.end", SnakeCase.From(ended.Reason.ToString()));
        span.Activity.SetTag("session.faults", ended.Faults);
        span.Activity.SetTag("session.copied_bytes", ended.CopiedBytes);
        if (ended.Reason == SessionEndReason.ClientKilled)
        {
            span.Activity.SetStatus(ActivityStatusCode.Error, "the client was killed");
        }

        Stop(span, WallClock.At(ended.At, time));
    }

    private void Note(EngineEvent engineEvent, string name, params ReadOnlySpan<(string Key, object Value)> tags) =>
        Note(engineEvent.Session.Id, engineEvent.At, name, tags);

    private void Note(long sessionId, long at, string name, params ReadOnlySpan<(string Key, object Value)> tags)
    {
        if (!_spans.TryGetValue(sessionId, out var span) || span.Events >= MaxEventsPerSession)
        {
            return;
        }

        var collection = new ActivityTagsCollection();
        foreach (var (key, value) in tags)
        {
            collection[key] = value;
        }

        span.Events++;
        span.Activity.AddEvent(new ActivityEvent(name, WallClock.At(at, time), collection));
    }

    private int Sweep()
    {
        var over = _spans.Where(s => s.Value.Session.State == SessionState.Ended).ToList();
        foreach (var (id, span) in over)
        {
            _spans.Remove(id);
            Stop(span, time.GetUtcNow());
        }

        return over.Count;
    }

    private static void Stop(Span span, DateTimeOffset end)
    {
        span.Activity.SetEndTime(end.UtcDateTime);
        span.Activity.Dispose();
    }

    private static string Hex(ulong address) => $"0x{address:x}";

    private sealed class Span(Session session, Activity activity)
    {
        public Session Session { get; } = session;

        public Activity Activity { get; } = activity;

        public int Events { get; set; }
    }
}
