using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Forked children whose userfaultfd waits in this process for room on the way to the descriptor store.</content>
/// <remarks>
/// It is not rare where the service manager is busy, and cannot be excluded: there was room, and another thread, another loop or another service has used it up; or two threads forked at once, and one read
/// brought both. The child is served as everybody. But a manager that is killed now takes the only handle of the child along, and the child reads zeros from then on. So it is on record with the parent
/// until the way to the store is known to be empty, and a successor looks for whoever was forked since.
/// </remarks>
internal sealed partial class FaultLoop
{
    // How often it is looked whether the service manager has read; nothing tells.
    private const long UnstoredNanoseconds = 20_000_000;

    private readonly List<Session> _unstored = [];
    private readonly long _forkPatience;
    private long _nextUnstored = long.MaxValue;

    // By CLOCK_BOOTTIME, as the start times of processes.
    private long _forkedAfter;

    // Since when what is stored waits in this process, as far as somebody would have been kept waiting for it; 0 for not at all.
    private long _behindSince;

    /// <summary>
    /// Whether a session is not to be read now, because a fork may be in its queue and what is stored would wait in this process. The fork waits then, and with it all the session's faults: so it is not done for
    /// nothing, when nothing of the kind is under way, and not for long. A fork begins to change the parent long before its event is in the queue.
    /// </summary>
    private bool IsForkToWait(Session session)
    {
        if (!Userfaultfd.IsChanging(session.Lease))
        {
            return false;
        }

        if (_behindSince == 0)
        {
            _behindSince = _now;
        }

        return _now - _behindSince < _forkPatience;
    }

    /// <summary>Puts on record that a child's userfaultfd may be here and nowhere else. The message in the parent's inbox says so until then.</summary>
    private void NoteUnstored(Session parent)
    {
        if (!_unstored.Contains(parent))
        {
            // Those of before are in the store, or the parent would be noted already.
            parent.Ledger.UnstoredForkSince = Math.Max(_forkedAfter, StateLayout.UnstoredForkUnit);
            _unstored.Add(parent);
        }

        _nextUnstored = Math.Min(_nextUnstored, _now + UnstoredNanoseconds);
    }

    // Either everything has been sent, or nobody is known to be.
    private void CheckUnstored()
    {
        _nextUnstored = long.MaxValue;
        _unstored.RemoveAll(session => session.State == SessionState.Ended);
        if (_unstored.Count == 0)
        {
            return;
        }

        if (!_engine.Keeper.IsSettled)
        {
            _nextUnstored = _now + UnstoredNanoseconds;
            return;
        }

        foreach (Session session in _unstored)
        {
            session.Ledger.UnstoredForkSince = 0;
        }

        _unstored.Clear();
    }

    private static void KillUnstoredChildren(Session parent, FaultEngine.Restore restore)
    {
        long since = parent.Ledger.UnstoredForkSince;
        if (since != 0)
        {
            KillLostChildren(parent, since, restore);
            parent.Ledger.UnstoredForkSince = 0;
        }
    }
}
