using Microsoft.Extensions.Logging;
using UffdManager.Linux;

namespace UffdManager.Daemon.Hosting;

internal sealed partial class EngineService
{
    [LoggerMessage(1001, LogLevel.Information, "Fault engine started: {FaultLoops} fault loops, {FetchThreads} fetch threads, kernel features {Features}")]
    private partial void LogStarted(int faultLoops, int fetchThreads, UffdFeatures features);

    [LoggerMessage(1002, LogLevel.Warning, "{Loss}")]
    private partial void LogLoss(string loss);

    [LoggerMessage(1003, LogLevel.Warning, "The limit on open files stays as it is: {Reason}, ignoring")]
    private partial void LogFileLimit(string reason);

    [LoggerMessage(1004, LogLevel.Information, "Stopping: {Sessions} live sessions have {Grace} to end")]
    private partial void LogStopping(int sessions, TimeSpan grace);

    [LoggerMessage(1006, LogLevel.Information, "The service manager keeps the descriptors of sessions: they outlive this process")]
    private partial void LogStoreKeeps();

    [LoggerMessage(1007, LogLevel.Warning, "The service manager keeps no descriptors: sessions end with this process. "
        + "Set FileDescriptorStoreMax= in the unit, or run the manager under uffd-supervise")]
    private partial void LogStoreKeepsNothing();

    [LoggerMessage(1005, LogLevel.Error, "{Sessions} sessions did not end in time: their clients were killed but are not gone yet")]
    private partial void LogLeft(int sessions);
}
