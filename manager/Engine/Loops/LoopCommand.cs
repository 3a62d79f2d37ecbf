namespace UffdManager.Engine.Loops;

/// <summary>Something that another thread wants done on a fault loop.</summary>
internal abstract class LoopCommand
{
    /// <summary>When a command that could not finish wants to be run again; monotonic nanoseconds.</summary>
    public long DueAt { get; protected set; }

    /// <summary>Runs it; false to be run again at <see cref="DueAt"/>.</summary>
    public abstract bool TryRun(FaultLoop loop, long now);

    /// <summary>Ends it unrun: the loop is over.</summary>
    public abstract void Refuse();
}

/// <summary>A command that finishes at once and has a result.</summary>
internal sealed class LoopCommand<T>(Func<FaultLoop, T> work) : LoopCommand
{
    // Continuations run elsewhere: whoever awaits must not get hold of the fault loop's thread.
    private readonly TaskCompletionSource<T> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task<T> Task => _completion.Task;

    public override bool TryRun(FaultLoop loop, long now)
    {
        try
        {
            _completion.SetResult(work(loop));
        }
#pragma warning disable CA1031 // Whatever goes wrong in a command is its caller's to hear, and must not end the loop of everybody else.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            _completion.SetException(failure);
        }

        return true;
    }

    public override void Refuse() => _completion.TrySetException(new ObjectDisposedException(nameof(FaultEngine)));
}
