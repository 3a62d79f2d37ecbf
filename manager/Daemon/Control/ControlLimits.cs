namespace UffdManager.Daemon.Control;

/// <summary>How many costly requests run at a time, and when streams have to end.</summary>
internal sealed class ControlLimits : IDisposable
{
    private readonly CancellationTokenSource _stopping = new();

    public ConcurrencyLimit Streams { get; } = new("streams", 16);

    public ConcurrencyLimit Bundles { get; } = new("support archives", 1);

    public ConcurrencyLimit Maps { get; } = new("region maps", 2);

    /// <summary>Set when the daemon stops: streams end, with their last line.</summary>
    public CancellationToken Stopping => _stopping.Token;

    public void Stop() => _stopping.Cancel();

    public void Dispose()
    {
        _stopping.Dispose();
        Streams.Dispose();
        Bundles.Dispose();
        Maps.Dispose();
    }
}
