namespace UffdManager.Client;

/// <summary>A connection and, once it is lost and replaced, the one after it.</summary>
internal sealed class Link(ClientConnection connection)
{
    private readonly TaskCompletionSource<Link> _next = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public ClientConnection Connection { get; } = connection;

    /// <summary>Completes when the connection has been replaced; fails when there will be no other.</summary>
    public Task<Link> Next => _next.Task;

    public void ReplaceBy(Link link) => _next.SetResult(link);

    public void End(Exception reason)
    {
        _next.SetException(reason);

        // Nobody may be waiting for it.
        _ = _next.Task.Exception;
    }
}
