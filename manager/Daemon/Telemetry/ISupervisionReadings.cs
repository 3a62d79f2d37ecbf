namespace UffdManager.Daemon.Telemetry;

/// <summary>What telemetry reads of the daemon's own survival. Any thread; implementations neither throw nor block.</summary>
internal interface ISupervisionReadings
{
    /// <summary>Sessions taken over at the start.</summary>
    int Restored { get; }

    /// <summary>Sessions whose client had ended meanwhile.</summary>
    int Gone { get; }

    /// <summary>Sessions that could not be taken over.</summary>
    int Failed { get; }

    /// <summary>How long that took.</summary>
    TimeSpan RestoreDuration { get; }

    /// <summary>Whether the service manager keeps descriptors.</summary>
    bool Keeps { get; }

    /// <summary>Descriptors that it holds.</summary>
    int Descriptors { get; }

    /// <summary>Sets of descriptors sent to it.</summary>
    long StoredSets { get; }

    /// <summary>Sets of descriptors that could not be stored.</summary>
    long RefusedSets { get; }

    /// <summary>Messages that wait for room in its socket.</summary>
    int QueueLength { get; }
}
