namespace UffdManager.Engine.Sessions;

/// <summary>How to end a session whose process lives.</summary>
public enum EndMode
{
    /// <summary>The client's own wish: refused with EBUSY while pages are missing that only the source has.</summary>
    Bye,

    /// <summary>
    /// The manager stops: unregistered where the kernel's zero fill is an equal substitute, else left to the keeper, else killed.
    /// </summary>
    Stop,

    /// <summary>The process is killed.</summary>
    Kill,
}
