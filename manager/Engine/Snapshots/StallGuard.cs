using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>Ends a snapshot when nothing has been saved for too long although writers waited: a client must not hang because a disk does. Belongs to the session's fault loop.</summary>
internal sealed class StallGuard(Snapshot snapshot)
{
    // Out of their turn pages are saved in any order; each is looked at until it is saved. In their turn they are saved by address.
    private readonly Queue<ulong> _outOfTurn = new(PageRing.Capacity);
    private ulong _inTurn;
    private long _progressAt;

    // Whether some writer waits.
    private bool IsAwaited
    {
        get
        {
            while (_outOfTurn.TryPeek(out ulong first) && !snapshot.Holds(first))
            {
                _outOfTurn.Dequeue();
            }

            return _outOfTurn.Count > 0 || (_inTurn != 0 && snapshot.Holds(_inTurn));
        }
    }

    /// <summary>A writer waits for a page.</summary>
    public void Await(ulong page, long now, bool isInTurn)
    {
        _progressAt = IsAwaited ? _progressAt : now;
        if (isInTurn || _outOfTurn.Count == PageRing.Capacity)
        {
            _inTurn = Math.Max(_inTurn, page);
        }
        else
        {
            _outOfTurn.Enqueue(page);
        }
    }

    /// <summary>Something has been saved.</summary>
    public void NoteProgress(long now) => _progressAt = now;

    /// <summary>Who waited was let go.</summary>
    public void Forget()
    {
        _outOfTurn.Clear();
        _inTurn = 0;
    }

    /// <summary>Looks whether it has been too long.</summary>
    public void Check(long now)
    {
        if (!IsAwaited || now - _progressAt <= snapshot.StallLimit)
        {
            return;
        }

        string why = snapshot.TakenAt == 0
            ? "before the instant, as the client's address space kept changing"
            : "in which no page could be saved: the file, a source or the client's own memory does not answer";
        snapshot.Fail(EngineErrorKind.State, Errno.ETIMEDOUT, $"writers waited for {(now - _progressAt) / 1_000_000_000.0:0.0} s {why}");
    }
}
