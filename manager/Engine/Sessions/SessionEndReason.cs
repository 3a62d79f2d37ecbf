namespace UffdManager.Engine.Sessions;

/// <summary>Why a session ended.</summary>
public enum SessionEndReason
{
    /// <summary>The process exited or was killed by somebody else.</summary>
    ClientExited,

    /// <summary>The process lives, but in another address space: it called exec.</summary>
    AddressSpaceGone,

    /// <summary>The engine killed the process because a page could not be had.</summary>
    ClientKilled,

    /// <summary>The client took its leave; all its ranges are unregistered.</summary>
    Bye,

    /// <summary>The manager stops: the ranges were unregistered, the kernel's zero fill goes on in its place.</summary>
    Released,

    /// <summary>The manager stops: the client's own side holds the descriptor, its faults wait for the next manager.</summary>
    LeftToKeeper,

    /// <summary>The manager ends, the session does not: its descriptors are stored, the next manager goes on with it.</summary>
    HandedOver,
}
