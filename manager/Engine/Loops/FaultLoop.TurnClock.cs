using UffdManager.Engine.Policies;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>The clock of deadlines: it counts the time in which this loop turned.</content>
/// <remarks>
/// While the loop stands still (the process is stopped or frozen, its virtual machine is, one turn takes long) no source can show that it has answered. So that such a time is nobody's fault, a turn adds
/// no more to this clock than a small step, however late it comes; and while something has a deadline, turns come more often than that.
/// </remarks>
internal sealed partial class FaultLoop
{
    // All that a standstill can take from a deadline.
    private const long LongestStep = 50_000_000;

    // Half of it, so that a timer that is late by its usual share loses nothing.
    private const long TurnPace = LongestStep / 2;

    private long _turned;
    private long _turnedAt = MonotonicClock.NowNanoseconds;

    // The earliest deadline of a ticket, in this clock.
    private long _nextVerdict = long.MaxValue;

    private void CountTurn()
    {
        _turned += Math.Clamp(_now - _turnedAt, 0, LongestStep);
        _turnedAt = _now;
    }

    // When the next turn has to come for this clock's sake: monotonic nanoseconds.
    private long NextTurn()
    {
        if (_deferring.Count > 0)
        {
            return _now + TurnPace;
        }

        return _tickets.Count > 0 && _nextVerdict != long.MaxValue ? _now + Math.Clamp(_nextVerdict - _turned, 0, TurnPace) : long.MaxValue;
    }

    /// <param name="policy">Of the region.</param>
    /// <param name="since">When its time began, in this clock.</param>
    private static long DeadlineOf(Policy policy, long since) =>
        policy.OnUnavailable == Verdict.Wait ? long.MaxValue : since + (long)policy.Deadline.TotalNanoseconds;

    // The time that a fault waits for a limit of ours is not its source's. Where places are few, it is as long as none becomes free: then whatever has them does not answer.
    private long ResumedSince(Tenant tenant, in DeferredFault fault) => fault.Reason switch
    {
        DeferralReason.Throttled => _turned,
        DeferralReason.InFlightLimit when tenant.Usage.FetchesEnded != fault.FetchesEnded => _turned,
        _ => fault.Since,
    };
}
