namespace UffdManager.Cli.Control;

/// <summary>A token that is cancelled when the user ends the command, or when a step has taken too long; and which of the two it was.</summary>
internal sealed class Deadline(CancellationToken user) : IDisposable
{
    private readonly CancellationTokenSource _source = CancellationTokenSource.CreateLinkedTokenSource(user);

    /// <summary>Whether it is the time that was up.</summary>
    public bool IsOver => _source.IsCancellationRequested && !user.IsCancellationRequested;

    /// <summary>Begins a step.</summary>
    /// <param name="limit">How long it may take.</param>
    public CancellationToken Arm(TimeSpan limit)
    {
        _source.CancelAfter(limit);
        return _source.Token;
    }

    public void Dispose() => _source.Dispose();
}
