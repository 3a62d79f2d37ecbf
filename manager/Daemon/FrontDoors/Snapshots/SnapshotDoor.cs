using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>
/// The front door of microVMs that are restored from a snapshot: stands in for the page fault handler that the VMM expects at a socket. One socket for a snapshot, or for several that
/// are told apart by who connects.
/// </summary>
/// <param name="services">What it works with.</param>
/// <param name="snapshots">Those of the configuration.</param>
/// <param name="inherited">What an earlier manager stored; taken over.</param>
internal sealed class SnapshotDoor(SnapshotServices services, IReadOnlyDictionary<string, SnapshotOptions> snapshots, InheritedSnapshots inherited) : IFrontDoor, IDisposable
{
    internal const string DoorName = "snapshot";

    // Opening an image and looking at an address space take milliseconds; a file system that does not answer must not hold up the end for long.
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(5);

    private readonly SnapshotLoop _loop = new(services);

    // What was complete in the last moment; the next manager has the connections, and begins anew with what was not.
    private static readonly TimeSpan s_lastVms = TimeSpan.FromMilliseconds(40);

    // A file system that does not answer holds up the snapshots on it, not the daemon.
    private static readonly TimeSpan s_opening = TimeSpan.FromSeconds(15);

    private readonly Lock _gate = new();
    private IReadOnlyDictionary<string, SnapshotOptions> _configured = snapshots;
    private bool _started;
    private bool _disposed;

    /// <inheritdoc/>
    public string Name => DoorName;

    /// <inheritdoc/>
    public async Task StartAsync()
    {
        Task opened;
        lock (_gate)
        {
            _loop.Start();
            _started = true;
            opened = _loop.BeginAsync(inherited, _configured);
        }

        // The delay is the deadline alone. What cannot be opened is in the log, and is no reason to serve nobody.
        if (await Task.WhenAny(opened, Task.Delay(s_opening)) == opened && opened.Exception is { } defect)
            _loop.LogNotBegun(defect);
    }

    /// <summary>Serves the snapshots of another configuration from now on.</summary>
    /// <returns>Completes when it does; what cannot be opened is in the log.</returns>
    public Task Apply(IReadOnlyDictionary<string, SnapshotOptions> changed)
    {
        lock (_gate)
        {
            _configured = changed;
            return _started ? _loop.ApplyAsync(changed) : Task.CompletedTask;
        }
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => _started ? _loop.StopAsync(s_patience).WaitAsync(cancellationToken) : Task.CompletedTask;

    /// <inheritdoc/>
    public Task HandOverAsync() => _started ? _loop.HandOverAsync(s_lastVms) : Task.CompletedTask;

    /// <summary>See <see cref="SnapshotLoop.ViewAsync"/>.</summary>
    public Task<IReadOnlyList<SnapshotView>> ViewAsync() => _loop.ViewAsync();

    /// <summary>See <see cref="SnapshotLoop.ServeAsync"/>.</summary>
    public Task<(SnapshotView View, bool IsNew)> ServeAsync(string? name, SnapshotOptions options) => _loop.ServeAsync(name, options);

    /// <summary>See <see cref="SnapshotLoop.StopServingAsync"/>.</summary>
    public Task<SnapshotView> StopServingAsync(string name) => _loop.StopServingAsync(name);

    /// <inheritdoc/>
    public Task PingAsync() => _started ? _loop.PingAsync() : Task.CompletedTask;

    /// <inheritdoc/>
    public void Dispose()
    {
        // The container disposes once for every service that this object stands for.
        if (_disposed)
            return;

        _disposed = true;
        inherited.Dispose();
        _loop.Dispose();
    }
}
