namespace UffdManager.Daemon.Configuration;

/// <summary>Threads of the fault engine: section <c>engine</c>. Changes need a restart.</summary>
public sealed record EngineSettings
{
    /// <summary>Fault loops, each one thread; 0 takes one per core up to 4; at most 64.</summary>
    public required int FaultLoops { get; init; }

    /// <summary>Threads that read slow page sources, 1 to 256.</summary>
    public required int FetchThreads { get; init; }

    /// <summary>Fetch threads that one tenant may occupy at a time, 1 to 256.</summary>
    public required int FetchConcurrencyPerTenant { get; init; }

    /// <summary>Whether each fault loop is bound to a core of its own.</summary>
    public required bool PinLoops { get; init; }

    /// <summary>How often each client is checked for life beside its pidfd: finds exec, and children that never introduced themselves.</summary>
    public required TimeSpan LivenessSweep { get; init; }

    /// <summary>How long a client that an earlier manager served may stay silent before it is killed.</summary>
    public required TimeSpan AdoptionTimeout { get; init; }
}
