using System.Collections.Concurrent;
using Microsoft.AspNetCore.Http;
using UffdManager.Control;
using UffdManager.Daemon.Images;
using UffdManager.Daemon.Inspection;
using UffdManager.Engine.Images;
using UffdManager.Linux;

namespace UffdManager.Daemon.Control;

/// <summary>Reads an image into the cache while somebody watches; who hangs up ends it.</summary>
internal sealed class ImageWarmingRoutes(ImageRegistry images, ControlLimits limits, TimeProvider time) : IControlRoutes
{
    private static readonly TimeSpan s_period = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan s_heartbeat = TimeSpan.FromSeconds(5);

    // Those that are being opened, until the thread is through, as below. Not by name: another image may have the name by then.
    private readonly ConcurrentDictionary<ImageDefinition, bool> _opening = new();

    // Those that are read, until the thread is through, which may be long after whoever asked has gone: it may hang in a file system.
    private readonly ConcurrentDictionary<LayeredSource, bool> _warming = new(ReferenceEqualityComparer.Instance);

    public IEnumerable<ControlRoute> Routes => [new(HttpMethods.Post, "/v1/images/{name}/warm", AccessRight.Admin, WarmAsync)];

    private async Task WarmAsync(ControlRequest request)
    {
        string name = request.Value(0);
        long offset = request.Integer("offset", 0, 0, long.MaxValue);
        long length = request.Integer("length", long.MaxValue, 1, long.MaxValue);
        request.RefuseOthers();
        ImageDefinition wanted = await ImageRoutes.CarryOutAsync(() => images.Get(name).Definition);
        using OpenedImage image = await OpenAsync(wanted, () => images.Open(name), request.Aborted);
        if (offset >= image.Source.Length)
            throw new ProblemException(ProblemKind.BadRequest, $"image {name} has {image.Source.Length} bytes: there is nothing from {offset} on", "leave the offset out to warm all of it");

        // Not before: who waits for a file system must not keep others from watching what they do.
        using IDisposable place = limits.Streams.Enter();
        await FollowAsync(request, name, image, offset, Math.Min(length, image.Source.Length - offset));
    }

    private async Task FollowAsync(ControlRequest request, string name, OpenedImage image, long offset, long length)
    {
        using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(request.Aborted, limits.Stopping);
        long began = time.GetTimestamp();
        long done = offset;
        CancellationToken stopping = stop.Token;
        Task<Errno> warming = Begin(name, image.Source, offset, length, at =>
        {
            Volatile.Write(ref done, at);
            return !stopping.IsCancellationRequested;
        });
        try
        {
            ControlResponse.BeginStream(request.Http);
            long said = began;
            long lastSaid = -1;
            while (!warming.IsCompleted && !stopping.IsCancellationRequested)
            {
                long now = Volatile.Read(ref done) - offset;
                if (now != lastSaid || time.GetElapsedTime(said) >= s_heartbeat)
                {
                    (lastSaid, said) = (now, time.GetTimestamp());
                    await SayAsync(now, result: null, problem: null);
                }

                await WaitAsync(warming, stopping);
            }

            request.Aborted.ThrowIfCancellationRequested();
            Errno errno = warming.IsCompleted ? await warming : Errno.OK;
            long end = Volatile.Read(ref done) - offset;
            string result = errno == Errno.ENOSPC ? "full" : errno != Errno.OK ? "failed" : end < length ? "stopping" : "warm";
            string? problem = errno is Errno.OK or Errno.ENOSPC ? null : errno == Errno.ESTALE ? $"{image.Source.ChangedFile} has changed" : errno.Describe();
            await SayAsync(end, result, problem);
        }
        finally
        {
            // The thread looks up after each piece, and is not waited for: a file system may never answer.
            await stop.CancelAsync();
        }

        Task SayAsync(long bytes, string? result, string? problem) => ControlResponse.LineAsync(
            request.Http,
            new ImageWarmingDto
            {
                At = Words.Time(time.GetUtcNow()),
                Done = Math.Clamp(bytes, 0, length),
                Total = length,
                CachedBytes = image.Source.CachedBytes(),
                ElapsedSeconds = time.GetElapsedTime(began).TotalSeconds,
                Finished = result is not null,
                Result = result,
                Problem = problem,
            },
            ControlResponse.Json.ImageWarmingDto,
            request.Aborted);
    }

    // On a thread that may hang. Who hangs up waits no longer; what is opened for nobody is given back.
    internal async Task<OpenedImage> OpenAsync(ImageDefinition image, Func<OpenedImage> open, CancellationToken cancel)
    {
        if (!_opening.TryAdd(image, true))
            throw IsBusy(image.Name);
        Task<OpenedImage> opening = OpenAloneAsync(image, open);
        try
        {
            return await opening.WaitAsync(cancel);
        }
        catch (OperationCanceledException)
        {
            _ = GiveBackAsync(opening);
            throw;
        }
    }

    // On a thread that may hang in a read for longer than anybody wants to know of it, and has a reference of its own.
    internal Task<Errno> Begin(string name, LayeredSource image, long offset, long length, Func<long, bool> goOn)
    {
        if (!_warming.TryAdd(image, true))
            throw IsBusy(name);
        LayeredSource source = (LayeredSource)image.AddReference();
        try
        {
            return Task.Factory.StartNew(Read, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }
        catch
        {
            End();
            throw;
        }

        Errno Read()
        {
            try
            {
                return source.Warm(offset, length, goOn);
            }
            finally
            {
                End();
            }
        }

        void End()
        {
            _warming.TryRemove(image, out _);
            source.Dispose();
        }
    }

    private static ProblemException IsBusy(string name) =>
        new(ProblemKind.Conflict, $"image {name} is being warmed already", "wait until that is over; one that never ends waits for a file system that hangs");

    private static async Task GiveBackAsync(Task<OpenedImage> opening)
    {
        try
        {
            (await opening).Dispose();
        }
        catch (ProblemException)
        {
            // Nobody is left to be told.
        }
    }

    private async Task<OpenedImage> OpenAloneAsync(ImageDefinition image, Func<OpenedImage> open)
    {
        try
        {
            return await ImageRoutes.CarryOutAsync(open);
        }
        finally
        {
            _opening.TryRemove(image, out _);
        }
    }

    // A tick, or sooner when the work is done or nobody wants it any more.
    private async Task WaitAsync(Task warming, CancellationToken stop)
    {
        try
        {
            await warming.WaitAsync(s_period, time, stop);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            // The caller looks which it was.
        }
    }
}
