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
    {
        _hold = new LoopCommand<bool>(_ =>
        {
            _stopped.Set();
            bool goesOn = _goesOn.Wait(Eventually.DefaultDeadline);
            afterwards?.Invoke();
            return goesOn;
        });
        session.Loop.Post(_hold);
        Assert.True(_stopped.Wait(Eventually.DefaultDeadline), "the fault loop does not come by");
    }

    public void Dispose()
    {
        _goesOn.Set();
        Assert.True(_hold.Task.Finish(), "the fault loop was held for too long");
        _stopped.Dispose();
        _goesOn.Dispose();
    }
}
