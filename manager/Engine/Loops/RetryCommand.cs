namespace UffdManager.Engine.Loops;

/// <summary>A command that the kernel may refuse for the moment (EAGAIN), and that is then tried again with backoff.</summary>
/// <param name="attempt">One attempt; null to be tried again, unless it was told that this is the last one.</param>
/// <param name="patienceNanoseconds">How long to go on. Time in which the loop did not come to try says nothing of the client, and hardly counts.</param>
/// <remarks>
/// What is waited for is that a thread of the client runs. When the machine stands still (a virtual machine that is paused, a host that has no CPU to give), or this process does, that thread does not run either; an
/// attempt after it that was the last one would go ahead in the midst of a change which a moment later would be over.
/// </remarks>
internal sealed class RetryCommand<T>(Func<FaultLoop, bool, T?> attempt, long patienceNanoseconds) : LoopCommand
    where T : class
{
    private const long Backoff = 40_000;

    // Far more than lies between two attempts of a loop that runs.
    private const long MostBetween = 20_000_000;

    private readonly TaskCompletionSource<T> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _tried;
    private long _waited;

    public Task<T> Task => _completion.Task;

    public override bool TryRun(FaultLoop loop, long now)
    {
        _waited += _tried == 0 ? 0 : Math.Min(now - _tried, MostBetween);
        _tried = now;
        try
        {
            T? result = attempt(loop, _waited >= patienceNanoseconds);
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
