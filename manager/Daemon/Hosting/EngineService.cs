using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Cli;
using UffdManager.Daemon.Configuration;
using UffdManager.Engine;
using UffdManager.Linux;

namespace UffdManager.Daemon.Hosting;

/// <summary>Starts the fault engine and, at the end, sees every client off.</summary>
internal sealed partial class EngineService(FaultEngine engine, KernelSupport kernel, ManagerConfiguration configuration, ILogger<EngineService> logger) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken)
    {
        RaiseFileLimit();
        try
        {
            engine.Start();
        }
        catch (SyscallException e)
        {
            throw new StartException(
                e.Errno is Errno.EPERM or Errno.EACCES ? ExitCode.Permission : ExitCode.Unavailable, $"the fault engine cannot start: {e.Message}", e);
        }

        LogStarted(engine.Loops().Count, configuration.Engine.FetchThreads, kernel.Features);
        foreach (string loss in kernel.Losses)
            LogLoss(loss);
        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        LogStopping(engine.Sessions().Count, configuration.Shutdown.Grace);
        int left = await engine.StopAsync(configuration.Shutdown.Grace);
        if (left > 0)
            LogLeft(left);
    }

    // Every session holds a userfaultfd and a pidfd, every source a file: the soft limit of 1024 is for programs that use select(2).
    private void RaiseFileLimit()
    {
        try
        {
            Rlimits.RaiseNoFile();
        }
        catch (SyscallException e)
        {
            LogFileLimit(e.Message);
        }
    }
}
