namespace UffdManager.Client;

/// <summary>What became of a session whose connection was lost.</summary>
public sealed class ReconnectedEventArgs : EventArgs
{
    internal ReconnectedEventArgs(bool resumed, int attempts, IReadOnlyDictionary<ulong, UffdManagerException> failed)
    {
        Resumed = resumed;
        Attempts = attempts;
        Failed = failed;
    }

    /// <summary>The manager had lived on: nothing changed. Otherwise another manager has adopted the userfaultfd.</summary>
    public bool Resumed { get; }

    /// <summary>Attempts that it took.</summary>
    public int Attempts { get; }

    /// <summary>
    /// Start of each range that the kernel no longer let the new manager register, with its reason: memory that is no longer mapped.
    /// </summary>
    public IReadOnlyDictionary<ulong, UffdManagerException> Failed { get; }
}
