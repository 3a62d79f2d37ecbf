using UffdManager.Engine.Loops;
using Xunit;

namespace UffdManager.Engine.Tests.Units;

/// <summary>How long is tried what a client's thread has to make possible.</summary>
public sealed class RetryCommandTests
{
    private const long Millisecond = 1_000_000;
    private const long Patience = 1000 * Millisecond;

    [Fact]
    public void Standstill_of_the_machine_is_not_taken_for_the_patience_of_the_command()
    {
        List<bool> attempts = [];
        RetryCommand<object> command = Refused(attempts);
        Assert.False(command.TryRun(null!, Millisecond));
        Assert.False(command.TryRun(null!, Millisecond + (2 * Patience)));
        Assert.False(command.TryRun(null!, Millisecond + (3 * Patience)));
        Assert.Equal([false, false, false], attempts);
        Assert.False(command.Task.IsCompleted);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(100)]
    public async Task Attempt_is_the_last_when_the_loop_has_tried_for_so_long(int milliseconds)
    {
        List<bool> attempts = [];
        RetryCommand<object> command = Refused(attempts);
        long now = Millisecond;
        while (!command.TryRun(null!, now) && attempts.Count <= 1000)
            now += milliseconds * Millisecond;
        Assert.Single(attempts, isLast => isLast);
        Assert.True(attempts[^1]);
        Assert.InRange(now, Patience, 10 * Patience);
        Assert.NotNull(await command.Task);
    }

    // As a client whose change is never over: what has to be done then is done at the last attempt.
    private static RetryCommand<object> Refused(List<bool> attempts) => new(
        (_, isLast) =>
        {
            attempts.Add(isLast);
            return isLast ? attempts : null;
        },
        Patience);
}
