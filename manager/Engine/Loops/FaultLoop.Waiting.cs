using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Waiting for epoll, or spinning where a policy asks for it and it pays.</content>
internal sealed partial class FaultLoop
{
    // One wait in so many spins although faults come too slowly for it, to notice when that changes.
    private const int ProbeEvery = 64;

    // epoll is asked once in so many reads of the session that faulted last: everybody else's latency while spinning.
    private const int EpollEvery = 8;

    private long _idleSince;
    private long _gapAverage;
    private int _waits;
    private Session? _lastFaulted;

    private int Wait()
    {
        long due = NextDue();
        if (due > _now && _lastFaulted is Session hot && hot.State == SessionState.Serving)
        {
            long spin = (long)hot.DefaultPolicy.BusyPoll.TotalNanoseconds;
            if (spin > 0)
            {
                return SpinThenWait(hot, spin, due);
            }
        }

        return WaitUntil(due);
    }

    // Epoll itself is given no timeout: that would arm and cancel a timer of the kernel with every fault. One timerfd in the set does, and
    // is set anew only when something is due earlier than it is set for.
    private int WaitUntil(long due)
    {
        if (due > _now && due < _armedFor)
        {
            TimerFd.Arm(_timerLease, due - _now);
            _armedFor = due;
        }

        int ready = Epoll.Wait(_epollLease, _events, due <= _now ? 0 : -1);
        _now = MonotonicClock.NowNanoseconds;
        CountTurn();
        return ready;
    }

    private int SpinThenWait(Session hot, long spin, long due)
    {
        int ready = 0;
        if (_gapAverage <= spin || ++_waits % ProbeEvery == 0)
        {
            ready = Spin(hot, Math.Min(spin, due - _now));
        }

        if (ready == 0)
        {
            ready = WaitUntil(NextDue());
        }

        // A gap beyond four spins says no more than "long", and must not take hundreds of short ones to be forgotten.
        long gap = Math.Min(_now - _idleSince, spin * 4);
        _gapAverage += (gap - _gapAverage) / 8;
        return ready;
    }

    // Returns ready events; serves the hot session's faults itself on the way.
    private int Spin(Session hot, long spin)
    {
        long began = MonotonicClock.NowNanoseconds;
        long limit = began + spin;
        int turn = 0;
        int ready = 0;
        do
        {
            int read = MayRead(hot) ? Userfaultfd.Read(hot.Lease, hot.Ledger.Inbox(MessageBatch), out _) : 0;
            _now = MonotonicClock.NowNanoseconds;
            CountTurn();
            if (read > 0)
            {
                long gap = Math.Min(_now - _idleSince, spin * 4);
                _gapAverage += (gap - _gapAverage) / 8;
                ServeBatch(hot, read);
                _now = MonotonicClock.NowNanoseconds;
                _idleSince = _now;
                _busy += _now - began;
                began = _now;
                limit = _now + spin;
                if (hot.State != SessionState.Serving || _now >= NextDue())
                {
                    return Epoll.Wait(_epollLease, _events, 0);
                }
            }

            if (++turn % EpollEvery == 0)
            {
                ready = Epoll.Wait(_epollLease, _events, 0);
            }
        }
        while (ready == 0 && _now < limit);

        _spun += _now - began;
        _busy += _now - began;
        return ready;
    }
}
