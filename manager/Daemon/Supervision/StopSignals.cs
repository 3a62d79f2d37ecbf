using System.Runtime.InteropServices;
using Microsoft.Extensions.Hosting;

namespace UffdManager.Daemon.Supervision;

/// <summary>
/// Hears the signals that end the daemon, from its construction on. It takes the place of the host's own console lifetime, which does not say which signal came:
/// SIGTERM may mean that a successor goes on with the sessions, SIGINT and SIGQUIT never do. A signal that comes during the start is
/// acted on when the start is through: restored sessions must be seen off like any others.
/// </summary>
internal sealed class StopSignals : IHostLifetime, IDisposable
{
    private readonly TaskCompletionSource<PosixSignal> _asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly PosixSignalRegistration[] _registrations;

    public StopSignals() => _registrations =
    [
        PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal),
        PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal),
        PosixSignalRegistration.Create(PosixSignal.SIGQUIT, OnSignal),
    ];

    /// <summary>Completes with the first signal that came.</summary>
    public Task<PosixSignal> Asked => _asked.Task;

    /// <inheritdoc/>
    public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public void Dispose() => Array.ForEach(_registrations, registration => registration.Dispose());

    private void OnSignal(PosixSignalContext context)
    {
        // Else the runtime would end the process itself.
        context.Cancel = true;
        _asked.TrySetResult(context.Signal);
    }
}
