using UffdManager.Engine.Loops;
using UffdManager.Engine.Sessions;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Harness;

/// <summary>
/// A fault loop that stands still in the middle of a turn until this is disposed: what clients and tests do meanwhile comes together before it.
/// </summary>
internal sealed class HeldLoop : IDisposable
{
    private readonly ManualResetEventSlim _stopped = new();
    private readonly ManualResetEventSlim _goesOn = new();
    private readonly LoopCommand<bool> _hold;

    /// <summary>Holds the loop of a session.</summary>
    /// <param name="session">Whose loop.</param>
    /// <param name="afterwards">The last thing that the loop does in this turn.</param>
    public HeldLoop(Session session, Action? afterwards = null)
        : this(afterwards)
    {
        session.Loop.Post(_hold);
        Await();
    }

    private HeldLoop(Action? afterwards) => _hold = new LoopCommand<bool>(_ =>
    {
        _stopped.Set();
        bool goesOn = _goesOn.Wait(Eventually.DefaultDeadline);
        afterwards?.Invoke();
        return goesOn;
    });

    /// <summary>Holds the loop of a session in the first turn in which something is so; <see cref="Await"/> waits for that.</summary>
    /// <param name="session">Whose loop.</param>
    /// <param name="when">Asked in every turn, on the loop.</param>
    public static HeldLoop At(Session session, Func<bool> when)
    {
        HeldLoop held = new(afterwards: null);
        session.Loop.Post(new Watch(when, held._hold));
        return held;
    }

    /// <summary>Waits until the loop stands still.</summary>
    public void Await() => Assert.True(_stopped.Wait(Eventually.DefaultDeadline), "the fault loop does not come by");

    public void Dispose()
    {
        _goesOn.Set();
        Assert.True(_hold.Task.Finish(), "the fault loop was held for too long");
        _stopped.Dispose();
        _goesOn.Dispose();
    }

    private sealed class Watch(Func<bool> when, LoopCommand hold) : LoopCommand
    {
        public override bool TryRun(FaultLoop loop, long now)
        {
            DueAt = now;
            return when() && hold.TryRun(loop, now);
        }

        public override void Refuse() => hold.Refuse();
    }
}
