using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <summary>Something that takes long, a slice a turn, so that it never holds the faults of others up; what the kernel refuses for the moment is tried again.</summary>
internal abstract class SlicedCommand : LoopCommand
{
    private const long Backoff = 40_000;
    private const long Patience = 10_000_000_000;

    private readonly TaskCompletionSource<EngineResult> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _refusedSince;

    public Task<EngineResult> Task => _completion.Task;

    public sealed override bool TryRun(FaultLoop loop, long now)
    {
        try
        {
            return TryStep(loop, now);
        }
#pragma warning disable CA1031 // Whatever goes wrong in a command is its caller's to hear, and must not end the loop of everybody else.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            _completion.TrySetException(failure);
            return true;
        }
    }

    public sealed override void Refuse() => _completion.TrySetException(new ObjectDisposedException(nameof(FaultEngine)));

    /// <summary>Does one slice.</summary>
    /// <param name="loop">The loop, on its thread.</param>
    /// <param name="failure">Why it cannot be done, with <see cref="WriteProtectStep.Failed"/>.</param>
    protected abstract WriteProtectStep Step(FaultLoop loop, out EngineResult? failure);

    private bool TryStep(FaultLoop loop, long now)
    {
        switch (Step(loop, out EngineResult? failure))
        {
            case WriteProtectStep.Done:
                _completion.TrySetResult(EngineResult.Success);
                return true;
            case WriteProtectStep.Progress:
                _refusedSince = 0;
                DueAt = now;
                return false;
            case WriteProtectStep.TryAgain:
                _refusedSince = _refusedSince == 0 ? now : _refusedSince;
                DueAt = now + Backoff;
                if (now - _refusedSince < Patience)
                {
                    return false;
                }

                failure = new EngineResult(new EngineError(EngineErrorKind.Kernel, Errno.EAGAIN, "the client's address space keeps changing"));
                break;
            default:
                break;
        }

        _completion.TrySetResult(failure!);
        return true;
    }
}
