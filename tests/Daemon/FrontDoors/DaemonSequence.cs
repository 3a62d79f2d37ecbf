using UffdManager.EndToEnd.Tests;

namespace UffdManager.Daemon.Tests.FrontDoors;

/// <summary>
/// Daemons at one socket, one after the other. Declared before the clients, it goes after them: a client cannot unmap managed memory while nobody
/// is there to be told.
/// </summary>
internal sealed class DaemonSequence : IAsyncDisposable
{
    private readonly string? _configuration;
    private readonly List<DaemonProcess> _all = [];

    private DaemonSequence(string? configuration) => _configuration = configuration;

    public string SocketPath => _all[0].SocketPath;

    public static async Task<DaemonSequence> StartAsync(string? configuration = null)
    {
        var daemons = new DaemonSequence(configuration);
        daemons._all.Add(await DaemonProcess.StartAsync(configuration));
        return daemons;
    }

    public void Kill() => _all[^1].Kill();

    /// <summary>Starts the next at the same socket.</summary>
    /// <param name="environment">Variables that this one has beside the others'.</param>
    public async Task StartNextAsync(IReadOnlyDictionary<string, string>? environment = null) =>
        _all.Add(await DaemonProcess.StartAsync(_configuration, environment, SocketPath));

    /// <summary>The one that was started last.</summary>
    public DaemonProcess Current => _all[^1];

    public async ValueTask DisposeAsync()
    {
        // The socket lies in the directory of the first.
        for (int i = _all.Count - 1; i >= 0; i--)
            await _all[i].DisposeAsync();
    }
}
