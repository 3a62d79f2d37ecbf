using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using UffdManager.Control;
using UffdManager.Daemon.Inspection;
using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Telemetry;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Snapshots;
using UffdManager.Linux;

namespace UffdManager.Daemon.LiveSnapshots;

/// <summary>Images of running clients, made for operators: one at a time of each session.</summary>
internal sealed partial class LiveSnapshotService(ISourceCatalog sources, TenantCatalog tenants, LiveSnapshotMetrics metrics, TimeProvider time, ILogger<LiveSnapshotService> logger)
{
    private readonly ConcurrentDictionary<long, LiveSnapshot> _running = new();

    /// <summary>The one that is being taken of a session; null for none.</summary>
    public LiveSnapshot? Find(long session) => _running.GetValueOrDefault(session);

    /// <summary>Begins one, on a thread of its own: files are opened, and a file system may hang.</summary>
    /// <param name="session">Whose.</param>
    /// <param name="request">Where to.</param>
    /// <param name="uid">Whose the image will be.</param>
    /// <param name="gid">The same, his group.</param>
    /// <param name="peer">Who asks, for the log.</param>
    /// <param name="gone">Gives up waiting; the snapshot is cancelled when the file system answers.</param>
    /// <returns>The snapshot; null when one of this session is being taken already.</returns>
    /// <exception cref="SyscallException">The file cannot be made.</exception>
    /// <exception cref="ArgumentException">The base cannot be had.</exception>
    public async Task<LiveSnapshot?> BeginAsync(Session session, SnapshotRequestDto request, uint uid, uint gid, string peer, CancellationToken gone)
    {
        Task<LiveSnapshot?> beginning = OnThreadOfItsOwn(() => TryBegin(session, request, uid, gid, peer));
        try
        {
            return await beginning.WaitAsync(gone);
        }
        catch (OperationCanceledException)
        {
            _ = GiveUpAsync(beginning);
            throw;
        }
    }

    private static Task<T> OnThreadOfItsOwn<T>(Func<T> work) => Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private static async Task GiveUpAsync(Task<LiveSnapshot?> beginning)
    {
        try
        {
            (await beginning)?.Cancel();
        }
        catch (Exception failure) when (failure is SyscallException or ArgumentException)
        {
            // It has come to nothing by itself.
        }
    }

    private LiveSnapshot? TryBegin(Session session, SnapshotRequestDto request, uint uid, uint gid, string peer)
    {
        CancellationTokenSource cancel = new();
        LiveSnapshot snapshot = new(session, request.Out, time.GetTimestamp(), cancel);
        if (!_running.TryAdd(session.Id, snapshot))
        {
            cancel.Dispose();
            return null;
        }

        SourceLease? baseImage = null;
        try
        {
            baseImage = request.Base is { } name ? OpenBase(session, name) : null;
            ImageFile file = ImageFile.Create(request.Out, uid, gid);
            metrics.Started(session.Tenant.Name);
            LogBegun(session.Id, session.Pid, Words.Printable(request.Out), peer);
            snapshot.Over = Task.Run(() => TakeAsync(snapshot, file, baseImage, request, cancel));
            return snapshot;
        }
        catch
        {
            baseImage?.Dispose();
            _running.TryRemove(session.Id, out _);
            cancel.Dispose();
            throw;
        }
    }

    private SourceLease OpenBase(Session session, string name)
    {
        TenantGrant tenant = tenants.GrantOf(session.Tenant.Name);
        SourceDecision decision = sources.OpenNamed(tenant, name);
        return decision.IsGranted ? decision.Lease : throw new ArgumentException(decision.Refusal, nameof(name));
    }

    private async Task<EngineError?> TakeAsync(LiveSnapshot snapshot, ImageFile file, SourceLease? baseImage, SnapshotRequestDto request, CancellationTokenSource cancel)
    {
        Session session = snapshot.Session;
        EngineError? error;
        bool isCancelled = false;
        try
        {
            SnapshotRequest wanted = new() { Output = file.Output, Base = baseImage?.Source };
            SnapshotReport report = await FaultEngine.SnapshotAsync(
                session, request.BufferBytes is { } bytes ? wanted with { BufferBytes = bytes } : wanted, snapshot.Progress, cancel.Token);
            error = report.Error;
            if (error is null)
            {
                await OnThreadOfItsOwn(() =>
                {
                    file.Publish(Describe(session, report, request.Base, FileIo.Stat(file.Output).Size));
                    return true;
                });
            }
        }
        catch (SyscallException failure)
        {
            error = new EngineError(EngineErrorKind.Kernel, failure.Errno, failure.Message);
        }
        catch (ObjectDisposedException)
        {
            error = new EngineError(EngineErrorKind.State, Errno.ESHUTDOWN, "the daemon stops");
        }
        finally
        {
            isCancelled = cancel.IsCancellationRequested;
            file.Dispose();
            baseImage?.Dispose();
            _running.TryRemove(session.Id, out _);
            cancel.Dispose();
        }

        metrics.Ended(
            session.Tenant.Name,
            LiveSnapshotEnds.Of(error, snapshot.Progress.TakenAt != 0, isCancelled),
            snapshot.Progress.WrittenBytes,
            snapshot.Progress.SavedPages,
            TimeSpan.FromTicks(snapshot.Progress.ArmNanoseconds / TimeSpan.NanosecondsPerTick));
        if (error is null)
            LogWritten(session.Id, Words.Printable(snapshot.Path), snapshot.Progress.WrittenBytes);
        else
            LogFailed(session.Id, Words.Printable(snapshot.Path), error.Text);
        return error;
    }

    private byte[] Describe(Session session, SnapshotReport report, string? baseName, long bytes) => JsonSerializer.SerializeToUtf8Bytes(
        new SnapshotImageDto
        {
            Version = 1,
            Session = session.Id,
            Pid = session.Pid,
            Tenant = session.Tenant.Name,
            TakenAt = Words.Time(WallClock.At(report.TakenAt, time)),
            Bytes = bytes,
            Base = baseName,
            Layout = report.Layout == SnapshotLayout.Source ? "source" : "address",
            Regions =
            [
                .. report.Regions.Select(region => new SnapshotRegionDto
                {
                    Start = Words.Address(region.Start),
                    Length = (long)region.Length,
                    PageBytes = (long)region.PageBytes,
                    FileOffset = region.FileOffset,
                    Shared = region.IsShared,
                }),
            ],
        },
        ControlJson.Default.SnapshotImageDto);

    [LoggerMessage(2250, LogLevel.Information, "A snapshot of session {Session} of pid {Pid} is taken to {Path} for {Peer}")]
    private partial void LogBegun(long session, int pid, string path, string peer);

    [LoggerMessage(2251, LogLevel.Information, "The snapshot of session {Session} is in {Path}: {Bytes} bytes written")]
    private partial void LogWritten(long session, string path, long bytes);

    [LoggerMessage(2252, LogLevel.Warning, "The snapshot of session {Session} to {Path} failed, the session goes on: {Reason}")]
    private partial void LogFailed(long session, string path, string reason);
}
