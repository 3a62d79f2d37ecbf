namespace UffdManager.Client;

/// <summary>A manager is there, but it does not take the session on as it was.</summary>
public sealed class ReconnectRefusedEventArgs : EventArgs
{
    internal ReconnectRefusedEventArgs(int attempts, UffdManagerException reason)
    {
        Attempts = attempts;
        Reason = reason;
    }

    /// <summary>Attempts so far; the next one follows, whatever the handler does.</summary>
    public int Attempts { get; }

    /// <summary>What the manager says: most often that it cannot open the source of a range, or does not know its policy.</summary>
    public UffdManagerException Reason { get; }
}
