using Xunit;

namespace UffdManager.TestSupport;

/// <summary>A command that a thread of the client is busy with.</summary>
public sealed class PendingReply
{
    private readonly Task<ClientReply> _task;
    private readonly string _command;

    internal PendingReply(string command, Task<ClientReply> task)
    {
        _command = command;
        _task = task;
    }

    /// <summary>The answer to come; faulted when the client dies over it.</summary>
    public Task<ClientReply> Completion => _task;

    /// <summary>True once the answer is here, or the client is gone.</summary>
    public bool IsCompleted => _task.IsCompleted;

    /// <summary>True when the client died over it.</summary>
    public bool IsLost => _task.IsCompleted && !_task.IsCompletedSuccessfully;

    /// <summary>Waits for the answer; fails the test at the deadline or when the client dies.</summary>
    public ClientReply Await(TimeSpan? deadline = null)
    {
        TimeSpan limit = deadline ?? Eventually.DefaultDeadline;
        try
        {
            Assert.True(_task.Wait(limit), $"client: {_command}: no answer within {limit.TotalSeconds} s");
        }
        catch (AggregateException)
        {
            Assert.Fail($"client: {_command}: the client is gone");
        }

        return _task.Result;
    }

    /// <summary>The answer's first number; fails the test when the command failed.</summary>
    public ulong AwaitValue(TimeSpan? deadline = null) => Await(deadline).Value;
}
