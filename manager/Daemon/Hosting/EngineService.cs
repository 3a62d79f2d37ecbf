using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Cli;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Supervision;
using UffdManager.Engine;
using UffdManager.Linux;

namespace UffdManager.Daemon.Hosting;

/// <summary>Starts the fault engine, with the sessions of the manager before, and, at the end, sees every client off.</summary>
internal sealed partial class EngineService(
    FaultEngine engine,
    KernelSupport kernel,
    ManagerConfiguration configuration,
    SystemdDescriptorStore store,
    Restorer restorer,
    ILogger<EngineService> logger) : IHostedService
{
    // A service manager answers within milliseconds; on a machine that swaps it has this long.
    private static readonly TimeSpan s_storeAnswers = TimeSpan.FromSeconds(10);

    /// <summary>Begins to serve. Called before the other services are made: who waits for a page should not wait for their code to load.</summary>
    /// <exception cref="StartException">The engine cannot run.</exception>
    public async Task ServeAsync()
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

        await restorer.RestoreAsync();
    }

    public Task StartAsync(CancellationToken cancellationToken)
    {
        LogStarted(engine.Loops().Count, configuration.Engine.FetchThreads, kernel.Features);
        foreach (string loss in kernel.Losses)
            LogLoss(loss);
        restorer.Tell();
        _ = ProbeStoreAsync();
        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        LogStopping(engine.Sessions().Count, configuration.Shutdown.Grace);
        int left = await engine.StopAsync(configuration.Shutdown.Grace);
        if (left > 0)
            LogLeft(left);

        // Nobody is to follow: what would be left in the store would come back as sessions that are over.
        store.RemoveAll();
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

    private async Task ProbeStoreAsync()
    {
        if (store.State == StoreState.Absent)
            return;
        if (await store.ProbeAsync(s_storeAnswers) == StoreState.Keeps)
            LogStoreKeeps();
        else
            LogStoreKeepsNothing();
    }
}
