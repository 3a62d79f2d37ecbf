using UffdManager.Daemon.Control;
using UffdManager.Daemon.Images;
using UffdManager.Daemon.Tests.Images;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

public sealed class ImageWarmingTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Image_is_warmed_by_one_thread_at_a_time_whoever_has_hung_up_meanwhile()
    {
        using ImageRegistry images = Registry.In(_directory.Combine("images"));
        using ControlLimits limits = new();
        foreach (string name in new[] { "slow", "other" })
            images.Add(new ImageAddition(name, _directory.WriteFile(name, new byte[64 * 4096]), null, null, false, true));
        ImageWarmingRoutes routes = new(images, limits, TimeProvider.System);
        using OpenedImage slow = images.Open("slow");
        using OpenedImage other = images.Open("other");
        using ManualResetEventSlim gate = new();
        using SemaphoreSlim read = new(0);

        // As in a file system that does not answer.
        Task<Errno> first = routes.Begin("slow", slow.Source, 0, 64 * 4096, _ =>
        {
            read.Release();
            gate.Wait();
            return true;
        });
        Assert.True(await read.WaitAsync(Eventually.DefaultDeadline));
        ProblemException refused = Assert.Throws<ProblemException>(() => { _ = routes.Begin("slow", slow.Source, 0, 4096, _ => true); });
        Assert.Equal(ProblemKind.Conflict, refused.Kind);
        Assert.Equal(Errno.OK, await routes.Begin("other", other.Source, 0, 64 * 4096, _ => true));
        gate.Set();
        Assert.Equal(Errno.OK, await first);
        Assert.Equal(Errno.OK, await routes.Begin("slow", slow.Source, 0, 64 * 4096, _ => true));
    }

    [Fact]
    public async Task Image_that_hangs_when_it_is_opened_keeps_nobody_from_warming_the_next_one_of_its_name()
    {
        using ImageRegistry images = Registry.In(_directory.Combine("images"));
        using ControlLimits limits = new();
        images.Add(new ImageAddition("name", _directory.WriteFile("slow", new byte[64 * 4096]), null, null, false, true));
        ImageWarmingRoutes routes = new(images, limits, TimeProvider.System);
        using ManualResetEventSlim gate = new();
        ImageDefinition slow = images.Get("name").Definition;
        Task<OpenedImage> opening = routes.OpenAsync(slow, Open, CancellationToken.None);
        ProblemException refused = await Assert.ThrowsAsync<ProblemException>(() => routes.OpenAsync(images.Get("name").Definition, () => images.Open("name"), CancellationToken.None));
        Assert.Equal(ProblemKind.Conflict, refused.Kind);
        Assert.Null(images.Remove("name"));
        images.Add(new ImageAddition("name", _directory.WriteFile("other", new byte[128 * 4096]), null, null, false, true));
        using (OpenedImage other = await routes.OpenAsync(images.Get("name").Definition, () => images.Open("name"), CancellationToken.None))
            Assert.Equal(128 * 4096, other.Source.Length);
        gate.Set();
        (await opening).Dispose();

        OpenedImage Open()
        {
            gate.Wait();
            return images.Open("name");
        }
    }

    [Fact]
    public async Task Image_that_was_opened_for_somebody_who_has_gone_is_given_back()
    {
        string file = _directory.WriteFile("slow", new byte[64 * 4096]);
        using ImageRegistry images = Registry.In(_directory.Combine("images"));
        using ControlLimits limits = new();
        images.Add(new ImageAddition("slow", file, null, null, false, true));
        ImageWarmingRoutes routes = new(images, limits, TimeProvider.System);
        using ManualResetEventSlim gate = new();
        using SemaphoreSlim isOpened = new(0);
        using CancellationTokenSource gone = new();
        Task<OpenedImage> opening = routes.OpenAsync(
            images.Get("slow").Definition,
            () =>
            {
                OpenedImage opened = images.Open("slow");
                isOpened.Release();
                gate.Wait();
                return opened;
            },
            gone.Token);
        Assert.True(await isOpened.WaitAsync(Eventually.DefaultDeadline));
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => opening);
        Assert.Null(images.Remove("slow"));
        Assert.True(IsOpen());
        gate.Set();
        Eventually.True(() => !IsOpen(), "the file of the image to be closed");

        bool IsOpen() => Directory.GetFiles("/proc/self/fd").Any(link => new FileInfo(link).LinkTarget == file);
    }
}
