using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Hosting;
using UffdManager.Engine;

namespace UffdManager.Daemon.Supervision;

/// <summary>
/// The end of a manager whose service manager keeps the sessions' descriptors: nothing is told to clients, nothing is ended, the process only goes away, fast. Who faults
/// meanwhile waits in the kernel for the next manager.
/// </summary>
internal sealed partial class HandOver(
    FaultEngine engine,
    IEnumerable<IFrontDoor> doors,
    SystemdDescriptorStore store,
    NotifySocket socket,
    ServiceManager manager,
    Readiness readiness,
    Watchdog watchdog,
    ILogger<HandOver> logger)
{
    // The service manager reads its socket within milliseconds, but thousands of descriptors, or a reload of its own, may keep it for a while. The other
    // way out ends every session: it is worth a wait. Before and after the hand-over together it is less than what the unit gives for a stop.
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);

    /// <summary>
    /// Whether a signal asks for it: SIGTERM, when the service manager is known to keep what it was given and has been given everything.
    /// </summary>
    public async Task<bool> IsMeantByAsync(PosixSignal signal)
    {
        if (signal != PosixSignal.SIGTERM || store.State == StoreState.Absent)
            return false;
        long began = Stopwatch.GetTimestamp();
        if (await store.KnownAsync(s_patience) == StoreState.Keeps && await socket.FlushAsync(Left(began)))
            return true;
        if (engine.Sessions().Count > 0)
            LogNotKept(engine.Sessions().Count);
        return false;
    }

    /// <summary>Does it. Afterwards the process ends; nothing else is to be stopped or disposed.</summary>
    public async Task RunAsync()
    {
        long began = Stopwatch.GetTimestamp();
        int sessions = engine.Sessions().Count;
        readiness.MarkStopping();
        manager.Stopping($"Handing over {sessions} sessions");
        watchdog.Dispose();
        await Task.WhenAll(doors.Select(door => door.HandOverAsync()));
        await engine.HandOverAsync();

        // What the last requests stored is in the socket by now; the successor must not be started before it is read.
        bool isRead = await store.SynchronizeAsync(s_patience);
        if (!isRead)
            LogNotRead();
        LogHandedOver(sessions, Stopwatch.GetElapsedTime(began).TotalMilliseconds);
    }

    // Of the patience, which is one for both questions.
    private static TimeSpan Left(long began)
    {
        TimeSpan left = s_patience - Stopwatch.GetElapsedTime(began);
        return left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }

    [LoggerMessage(1050, LogLevel.Information, "Handed over: {Sessions} sessions wait for the next manager, {Milliseconds:0} ms")]
    private partial void LogHandedOver(int sessions, double milliseconds);

    [LoggerMessage(1051, LogLevel.Warning, "The service manager does not keep descriptors: {Sessions} sessions cannot be handed over and end with this process. "
        + "Set FileDescriptorStoreMax= in the unit, or run the manager under uffd-supervise")]
    private partial void LogNotKept(int sessions);

    [LoggerMessage(1052, LogLevel.Error, "The service manager does not read its messages: sessions that began in the last moment may be lost")]
    private partial void LogNotRead();
}
