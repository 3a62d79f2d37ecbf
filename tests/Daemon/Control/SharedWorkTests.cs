using UffdManager.Daemon.Control;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

public sealed class SharedWorkTests
{
    private readonly SharedWork<int> _work = new();
    private int _begun;

    [Fact]
    public async Task Those_who_ask_for_the_same_wait_for_the_same()
    {
        TaskCompletionSource<int> gate = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<int>[] all = [.. Enumerable.Range(0, 100).Select(_ => _work.DoAsync("a", () => BeginAsync(gate.Task), CancellationToken.None))];
        Assert.Equal(2, await _work.DoAsync("b", () => BeginAsync(Task.FromResult(2)), CancellationToken.None));
        gate.SetResult(1);
        Assert.All(await Task.WhenAll(all), result => Assert.Equal(1, result));
        Assert.Equal(2, _begun);

        // What is over is begun anew, whether it was done or failed, and however quickly.
        await Assert.ThrowsAsync<IOException>(() => _work.DoAsync("a", () => throw new IOException(), CancellationToken.None));
        Assert.Equal(3, await _work.DoAsync("a", () => BeginAsync(Task.FromResult(3)), CancellationToken.None));
    }

    [Fact]
    public async Task Who_gives_up_leaves_the_work_to_the_others()
    {
        TaskCompletionSource<int> gate = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using CancellationTokenSource cancel = new();
        Task<int> first = _work.DoAsync("a", () => BeginAsync(gate.Task), cancel.Token);
        Task<int> second = _work.DoAsync("a", () => BeginAsync(gate.Task), CancellationToken.None);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
        gate.SetResult(1);
        Assert.Equal(1, await second);
        Assert.Equal(1, _begun);
    }

    private Task<int> BeginAsync(Task<int> work)
    {
        Interlocked.Increment(ref _begun);
        return work;
    }
}
