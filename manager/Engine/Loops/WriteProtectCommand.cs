using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <summary>Arms or lifts write protection over a range of any size, a slice a turn, so that it never holds the faults of others up.</summary>
internal sealed class WriteProtectCommand(Session session, ulong start, ulong length, bool protect) : LoopCommand
{
    private const long Backoff = 40_000;
    private const long Patience = 10_000_000_000;

    private readonly TaskCompletionSource<EngineResult> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ulong _end = start + length;
    private ulong _cursor = start;
    private long _refusedSince;

    public Task<EngineResult> Task => _completion.Task;

    public override bool TryRun(FaultLoop loop, long now)
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

    public override void Refuse() => _completion.TrySetException(new ObjectDisposedException(nameof(FaultEngine)));

    private bool TryStep(FaultLoop loop, long now)
    {
        switch (loop.WriteProtect(session, ref _cursor, _end, protect, out EngineResult? failure))
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
