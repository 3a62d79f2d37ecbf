using UffdManager.Engine.Sessions;
using UffdManager.Engine.Snapshots;

namespace UffdManager.Daemon.LiveSnapshots;

/// <summary>A snapshot under way, or just over.</summary>
internal sealed class LiveSnapshot(Session session, string path, long began, CancellationTokenSource cancel)
{
    /// <summary>Whose.</summary>
    public Session Session { get; } = session;

    /// <summary>Where to.</summary>
    public string Path { get; } = path;

    /// <summary>Timestamp of when it was asked for.</summary>
    public long Began { get; } = began;

    /// <summary>How far it is.</summary>
    public SnapshotProgress Progress { get; } = new();

    /// <summary>Its end: null, or why there is no image.</summary>
    public Task<Engine.EngineError?> Over { get; set; } = Task.FromResult<Engine.EngineError?>(null);

    /// <summary>Ends it; the client goes on.</summary>
    public void Cancel()
    {
        try
        {
            cancel.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // It is over already.
        }
    }
}
