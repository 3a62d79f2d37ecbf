namespace UffdManager.Engine.Loops;

/// <summary>A command that the kernel may refuse for the moment (EAGAIN), and that is then tried again with backoff.</summary>
/// <param name="attempt">One attempt; null to be tried again, unless it was told that this is the last one.</param>
/// <param name="patienceNanoseconds">How long to go on.</param>
internal sealed class RetryCommand<T>(Func<FaultLoop, bool, T?> attempt, long patienceNanoseconds) : LoopCommand
    where T : class
{
    private const long Backoff = 40_000;

    private readonly TaskCompletionSource<T> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _deadline;

    public Task<T> Task => _completion.Task;

    public override bool TryRun(FaultLoop loop, long now)
    {
        if (_deadline == 0)
        {
            _deadline = now + patienceNanoseconds;
        }

        try
        {
            T? result = attempt(loop, now >= _deadline);
            if (result is null)
            {
                DueAt = now + Backoff;
                return false;
            }

            _completion.SetResult(result);
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
