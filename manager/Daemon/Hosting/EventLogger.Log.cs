using Microsoft.Extensions.Logging;
using UffdManager.Engine;
using UffdManager.Linux;

namespace UffdManager.Daemon.Hosting;

// Ids: 30xx life of a session, 31xx its end at the manager's stop, 40xx faults and sources. Never reused.
internal sealed partial class EventLogger
{
    [LoggerMessage(3001, LogLevel.Information, "Session {Session} started: pid {Pid}, tenant {Tenant}, label {Label}, policy {Policy}")]
    private partial void LogSessionStarted(long session, int pid, string tenant, string label, string policy);

    [LoggerMessage(3002, LogLevel.Information, "Session {Session} of pid {Pid} ended, {Reason}: {Faults} faults, {CopiedBytes} bytes")]
    private partial void LogSessionEnded(long session, int pid, string reason, long faults, long copiedBytes);

    [LoggerMessage(3003, LogLevel.Debug, "Session {Session} of tenant {Tenant} is a child of session {Parent}")]
    private partial void LogForkAdopted(long session, string tenant, long parent);

    [LoggerMessage(3004, LogLevel.Debug, "Session {Session} is pid {Pid}")]
    private partial void LogForkIdentified(long session, int pid);

    [LoggerMessage(3005, LogLevel.Warning, "Session {Session} of tenant {Tenant} {Why}; the child is {Fate}")]
    private partial void LogForkRefused(long session, string tenant, string why, string fate);

    [LoggerMessage(3006, LogLevel.Warning, "Session {Session} of pid {Pid} claims 0x{Start:x}+0x{Length:x}, which is held by {Holder}, refusing the claim")]
    private partial void LogConflict(long session, int pid, ulong start, ulong length, string holder);

    [LoggerMessage(3007, LogLevel.Warning, "Session {Session} of pid {Pid}, tenant {Tenant}, misbehaves: {What}")]
    private partial void LogMisbehaved(long session, int pid, string tenant, string what);

    [LoggerMessage(3008, LogLevel.Warning, "{Count} more messages {Kind} about tenant {Tenant} were left out")]
    private partial void LogSuppressed(long count, string kind, string tenant);

    [LoggerMessage(3009, LogLevel.Information, "Session {Session}: {Event}")]
    private partial void LogOther(long session, EngineEvent @event);

    [LoggerMessage(3010, LogLevel.Debug, "Session {Session} of pid {Pid}, a child, ended, {Reason}: {Faults} faults, {CopiedBytes} bytes")]
    private partial void LogChildEnded(long session, int pid, string reason, long faults, long copiedBytes);

    [LoggerMessage(3101, LogLevel.Information,
        "Session {Session} of pid {Pid} released, the kernel gives it zero pages from now on: {Faults} faults, {CopiedBytes} bytes")]
    private partial void LogReleased(long session, int pid, long faults, long copiedBytes);

    [LoggerMessage(3102, LogLevel.Information,
        "Session {Session} of pid {Pid} left to its keeper, its faults wait for the next manager: {Faults} faults, {CopiedBytes} bytes")]
    private partial void LogLeftToKeeper(long session, int pid, long faults, long copiedBytes);

    [LoggerMessage(3103, LogLevel.Warning,
        "Session {Session} of pid {Pid} ended, the client was killed because nobody else can give it its contents: {Faults} faults, {CopiedBytes} bytes")]
    private partial void LogEndedByKill(long session, int pid, long faults, long copiedBytes);

    [LoggerMessage(4001, LogLevel.Error, "Session {Session}: pid {Pid} of tenant {Tenant} is killed, page 0x{Address:x} cannot be had: {Reason}")]
    private partial void LogClientKilled(long session, int pid, string tenant, ulong address, string reason);

    [LoggerMessage(4002, LogLevel.Error, "Session {Session}: page 0x{Address:x} of pid {Pid}, tenant {Tenant}, is poisoned: {Reason}")]
    private partial void LogPagePoisoned(long session, int pid, string tenant, ulong address, string reason);

    [LoggerMessage(4003, LogLevel.Warning, "Session {Session} of tenant {Tenant}: {Source} failed at {Offset}, {Errno}, attempt {Attempts}, trying again")]
    private partial void LogSourceFailed(long session, string tenant, string source, long offset, Errno errno, int attempts);

    [LoggerMessage(4004, LogLevel.Warning, "Session {Session} of pid {Pid}: no free huge page for 0x{Address:x}, waiting")]
    private partial void LogHugePoolExhausted(long session, int pid, ulong address);
}
