using UffdManager.Daemon.Control;
using UffdManager.Daemon.Images;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>What bounds the threads that wait for file systems in the place of whoever changes images.</summary>
public sealed class ImageChangesTests : IDisposable
{
    private readonly ImageChanges _changes = new();
    private readonly ManualResetEventSlim _gate = new();

    public void Dispose()
    {
        _gate.Set();
        _gate.Dispose();
    }

    [Fact]
    public async Task Image_is_changed_by_one_at_a_time_and_few_images_are_changed_at_a_time()
    {
        Task<string>[] hanging = [.. Enumerable.Range(0, ImageChanges.Limit).Select(i => HangAsync($"image-{i}"))];
        ProblemException same = await Assert.ThrowsAsync<ProblemException>(() => HangAsync("image-0"));
        Assert.Equal(ProblemKind.Conflict, same.Kind);
        Assert.Contains("\"image-0\" is being added or removed already", same.Message, StringComparison.Ordinal);
        ProblemException other = await Assert.ThrowsAsync<ProblemException>(() => HangAsync("other"));
        Assert.Equal(ProblemKind.Busy, other.Kind);
        Assert.Contains("umount -f", other.Remedy, StringComparison.Ordinal);
        Assert.All(hanging, change => Assert.False(change.IsCompleted));
        _gate.Set();
        Assert.Equal(Enumerable.Range(0, ImageChanges.Limit).Select(i => $"image-{i}"), await Task.WhenAll(hanging).WaitAsync(Eventually.DefaultDeadline));
        Assert.Equal("other", await HangAsync("other").WaitAsync(Eventually.DefaultDeadline));
    }

    [Fact]
    public async Task Who_goes_away_leaves_the_place_to_what_was_begun()
    {
        using CancellationTokenSource gone = new();
        Task<string> change = HangAsync("image", gone.Token);
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => change.WaitAsync(Eventually.DefaultDeadline));
        await Assert.ThrowsAsync<ProblemException>(() => HangAsync("image"));
        _gate.Set();

        // The thread is through at some time.
        using CancellationTokenSource deadline = new(Eventually.DefaultDeadline);
        while (!await TryAsync("image"))
            await Task.Delay(1, deadline.Token); // lint: allowed, a pace with a deadline
    }

    [Fact]
    public async Task Change_that_fails_says_why_and_gives_its_place_back()
    {
        for (int i = 0; i <= ImageChanges.Limit; i++)
        {
            ProblemException refused = await Assert.ThrowsAsync<ProblemException>(
                () => _changes.DoAsync<int>("image", () => throw new ImageException(ImageFault.NotFound, "there is none", "make one"), CancellationToken.None));
            Assert.Equal((ProblemKind.NotFound, "there is none", "make one"), (refused.Kind, refused.Message, refused.Remedy));
        }
    }

    private async Task<string> HangAsync(string name, CancellationToken gone = default) => await _changes.DoAsync(
        name,
        () =>
        {
            _gate.Wait(Eventually.DefaultDeadline);
            return name;
        },
        gone);

    private async Task<bool> TryAsync(string name)
    {
        try
        {
            return await HangAsync(name) == name;
        }
        catch (ProblemException)
        {
            return false;
        }
    }
}
