using UffdManager.Engine.Loops;

namespace UffdManager.Engine.Snapshots;

/// <summary>Looks now and then whether writers wait for nothing; runs as long as the snapshot is the session's.</summary>
internal sealed class StallCommand(Snapshot snapshot) : LoopCommand
{
    // Short beside any limit that makes sense, long beside a turn of the loop.
    private const long Pace = 50_000_000;

    public override bool TryRun(FaultLoop loop, long now)
    {
        if (snapshot.IsOver)
        {
            return true;
        }

        snapshot.Guard.Check(now);
        DueAt = now + Pace;
        return false;
    }

    public override void Refuse()
    {
        // The commands that save pages say so.
    }
}
