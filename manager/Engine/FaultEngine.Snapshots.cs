using UffdManager.Engine.Loops;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;

namespace UffdManager.Engine;

/// <content>Images of running clients.</content>
public sealed partial class FaultEngine
{
    /// <summary>
    /// Writes the memory of a session as it is at one instant, while its client runs on: everything is write-protected, and a page that is to be written is saved before
    /// the write goes on. The file holds all regions but mailboxes: where all of them show one source, each page at its offset there, and what they do not show of it is
    /// a hole; else one region behind the other by address.
    /// </summary>
    /// <param name="session">Whose.</param>
    /// <param name="request">Where to.</param>
    /// <param name="progress">Told how far it is.</param>
    /// <param name="cancel">Ends it; the client goes on unharmed.</param>
    /// <returns>Returns when nothing of it is left but the file.</returns>
    /// <exception cref="ObjectDisposedException">The engine stops.</exception>
    public static async Task<SnapshotReport> SnapshotAsync(Session session, SnapshotRequest request, SnapshotProgress progress, CancellationToken cancel)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(request);
        ArgumentNullException.ThrowIfNull(progress);
        if (IsAsynchronous(session))
        {
            return Refused(new EngineError(
                EngineErrorKind.Kernel, Errno.EOPNOTSUPP, $"the userfaultfd of session {session.Id} was made with WP_ASYNC: the kernel lets every writer go at once, so that no instant can be held"));
        }

        if (session.IsUserModeOnly)
        {
            return Refused(UserModeOnly(session));
        }

        if (session.Pid == 0)
        {
            return Refused(new EngineError(EngineErrorKind.State, Errno.ESRCH, "the process of this forked child is not known yet; it is once it faults or says who it is"));
        }

        using SafeFile? memory = TryOpenMemory(session);

        using PresenceMap presence = PresenceMap.Of(session);
        if (presence.Pagemap is null)
        {
            return Refused(NoPagemap(session, "what is not there cannot be told from what is, so that the snapshot would fill every missing page in order to read it"));
        }

        PageSaver saver;
        ClientReads? reads = null;
        try
        {
            reads = new ClientReads(PagemapScan.OpenPagemap(session.Pid));
            saver = new PageSaver(request.SavedPages, memory);
        }
        catch (SyscallException failure)
        {
            reads?.Dispose();
            return Refused(new EngineError(EngineErrorKind.Kernel, failure.Errno, failure.Message));
        }

        Snapshot snapshot = new(session, presence, progress) { StallLimit = (long)request.StallLimit.TotalNanoseconds, Saver = saver, Reads = reads };
        bool isAtRest = false;
        try
        {
            EngineResult result = await AloneAsync(session, "a snapshot is being taken", () => TakeAsync(snapshot, request, memory, cancel)).ConfigureAwait(false);

            // Whatever the reader has asked of the loop is behind it now.
            _ = await RunAsync(session.Loop, _ => FaultLoop.CloseReads(session, snapshot.Reads)).ConfigureAwait(false);
            isAtRest = true;
            return new SnapshotReport(
                result.Error,
                snapshot.TakenAt,
                snapshot.TakenAt == 0 ? [] : [.. snapshot.Regions.Select(region => new SnapshotRegion(region.Start, region.End - region.Start, region.PageBytes, region.FileOffset, region.IsShared))],
                snapshot.Layout?.Layout ?? SnapshotLayout.Address);
        }
        finally
        {
            if (isAtRest)
            {
                snapshot.Dispose();
            }
        }
    }

    private static async Task<EngineResult> TakeAsync(Snapshot snapshot, SnapshotRequest request, SafeFile? memory, CancellationToken cancel)
    {
        Session session = snapshot.Session;
        using CancellationTokenRegistration cancelled = cancel.Register(() => snapshot.Fail(EngineErrorKind.State, Errno.ECANCELED, "it was cancelled"));
        Task copy = Task.CompletedTask;
        try
        {
            EngineResult frozen = await RunAsync(session.Loop, new FreezeCommand(snapshot)).ConfigureAwait(false);
            if (frozen.Error is EngineError error)
            {
                snapshot.Fail(error);
            }
            else
            {
                copy = SnapshotCopy.Start(snapshot, request, memory);

                // The client is let go at the first failure; what hangs in a file system may hang on without it.
                await Task.WhenAny(copy, snapshot.Failed).ConfigureAwait(false);
            }
        }
        catch (SyscallException failure)
        {
            snapshot.Fail(EngineErrorKind.Kernel, failure.Errno, failure.Message);
        }
#pragma warning disable CA1031 // Whatever happened, what is protected has to be let go.
        catch (Exception failure) when (failure is not ObjectDisposedException)
#pragma warning restore CA1031
        {
            snapshot.Fail(EngineErrorKind.State, Errno.EIO, $"{failure.GetType().Name}: {failure.Message}");
        }

        try
        {
            EngineResult thawed = await RunAsync(session.Loop, new ThawCommand(session, snapshot)).ConfigureAwait(false);
            return new EngineResult(snapshot.Failure ?? thawed.Error);
        }
        finally
        {
            // It uses what the caller closes.
            await copy.ConfigureAwait(false);
        }
    }

    // The memory that the process has when it is opened stays the one that is read, whatever becomes of the process and its number. Null where that takes
    // more than the right to trace: the file belongs to the owner of the process.
    private static SafeFile? TryOpenMemory(Session session)
    {
        SafeFile? memory = FileIo.TryOpen($"/proc/{session.Pid}/mem", OpenFlags.ReadOnly, out _);
        if (memory is not null && (!ProcessInfo.TryReadStartTime(session.Pid, out ulong startTime) || startTime != session.ProcessStartTime))
        {
            memory.Dispose();
            memory = null;
        }

        return memory;
    }

    private static SnapshotReport Refused(EngineError error) => new(error, 0, [], SnapshotLayout.Address);
}
