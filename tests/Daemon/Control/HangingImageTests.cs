using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;
using UffdManager.Daemon.Control;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Images;
using UffdManager.Daemon.Tests.Configuration;
using UffdManager.Daemon.Tests.Images;
using UffdManager.Daemon.WorkingSets;
using UffdManager.Engine;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Control;

/// <summary>Requests for an image whose file system does not answer leave one thread behind, however many come, and keep nobody from anything else.</summary>
public sealed class HangingImageTests : ImageRegistryTest
{
    [SkippableFact]
    public async Task Image_that_hangs_is_opened_once_for_all_who_ask_for_its_working_set()
    {
        using HangingFiles files = HangingFiles.Mount();
        using ImageRegistry images = WithHangingImage(files);
        using FaultEngine engine = new(new EngineOptions { FaultLoops = 1 });
        WorkingSetBooks books = new(engine, new ConfigurationInUse(Layers.Load(Layers.Minimal), TimeProvider.System));
        WorkingSetRoutes routes = new(books, images, NullLogger<WorkingSetRoutes>.Instance);
        using CancellationTokenSource gone = new();
        Task[] impatient;
        Task[] patient;
        try
        {
            impatient = [.. routes.Routes.Select(route => route.HandleAsync(Request(gone.Token)))];
            patient = [.. Enumerable.Range(0, 8).SelectMany(_ => routes.Routes).Select(route => route.HandleAsync(Request(CancellationToken.None)))];
            Eventually.True(() => images.Opened == 1, "the image to be opened");
            await gone.CancelAsync();
            foreach (Task request in impatient)
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => request.WaitAsync(Eventually.DefaultDeadline));
            Assert.All(patient, request => Assert.False(request.IsCompleted));
        }
        finally
        {
            files.End();
        }

        foreach (Task request in patient)
            Assert.Equal(ProblemKind.Kernel, (await Assert.ThrowsAsync<ProblemException>(() => request.WaitAsync(Eventually.DefaultDeadline))).Kind);
        Assert.Equal(1, images.Opened);

        static ControlRequest Request(CancellationToken aborted) => Asked([], "?image=hung", aborted);
    }

    [SkippableFact]
    public async Task Image_that_hangs_takes_no_place_of_a_stream_while_it_is_opened_to_be_warmed()
    {
        using HangingFiles files = HangingFiles.Mount();
        using ImageRegistry images = WithHangingImage(files);
        using ControlLimits limits = new();
        ControlRoute route = new ImageWarmingRoutes(images, limits, TimeProvider.System).Routes.Single();
        using CancellationTokenSource gone = new();
        try
        {
            Task first = route.HandleAsync(Asked(["hung"], "", gone.Token));
            Eventually.True(() => images.Opened == 1, "the image to be opened");
            List<IDisposable> places = [.. Enumerable.Range(0, 16).Select(_ => limits.Streams.Enter())];

            // With every place taken: who comes second is told of the image.
            Assert.Equal(ProblemKind.Conflict, await RefusalAsync(route));
            places.ForEach(place => place.Dispose());
            await gone.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first.WaitAsync(Eventually.DefaultDeadline));
            Assert.Equal(ProblemKind.Conflict, await RefusalAsync(route));
        }
        finally
        {
            files.End();
        }

        // The thread is through when the file system has failed.
        using CancellationTokenSource deadline = new(Eventually.DefaultDeadline);
        ProblemKind kind;
        while ((kind = await RefusalAsync(route)) == ProblemKind.Conflict)
            await Task.Delay(1, deadline.Token); // lint: allowed, a pace with a deadline
        Assert.Equal(ProblemKind.Kernel, kind);
    }

    private static ControlRequest Asked(IReadOnlyList<string> values, string query, CancellationToken aborted)
    {
        DefaultHttpContext http = new() { RequestAborted = aborted };
        http.Request.QueryString = new QueryString(query);
        return new ControlRequest(http, new ControlPeer(new PeerCredentials(Environment.ProcessId, 0, 0), []), AccessRight.Admin, values);
    }

    private static async Task<ProblemKind> RefusalAsync(ControlRoute route) =>
        (await Assert.ThrowsAsync<ProblemException>(() => route.HandleAsync(Asked(["hung"], "", CancellationToken.None)).WaitAsync(Eventually.DefaultDeadline))).Kind;

    private ImageRegistry WithHangingImage(HangingFiles files)
    {
        string file = Write("memory", 8);
        using (ImageRegistry registry = Registry.In(Folder))
            registry.Add(Addition("hung", file));
        Edit("hung", file, files.Hanging);
        return Registry.In(Folder);
    }
}
