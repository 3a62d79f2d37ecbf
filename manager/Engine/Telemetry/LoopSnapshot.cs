namespace UffdManager.Engine.Telemetry;

/// <summary>One fault loop at one moment.</summary>
/// <param name="Index">Which, from 0.</param>
/// <param name="Sessions">Sessions it serves.</param>
/// <param name="BusyNanoseconds">Time not spent waiting in epoll, since start.</param>
/// <param name="SpinNanoseconds">Part of the busy time spent spinning for the next fault.</param>
/// <param name="Wakeups">Returns from epoll with something to do.</param>
/// <param name="LastTurn">Monotonic nanoseconds of the last turn; a loop that does not answer <see cref="FaultEngine.PingAsync"/> is stuck.</param>
/// <param name="SamplesDropped">Service times that found the ring full.</param>
/// <param name="PageTableBytes">Native memory reserved for page tables.</param>
public sealed record LoopSnapshot(
    int Index,
    int Sessions,
    long BusyNanoseconds,
    long SpinNanoseconds,
    long Wakeups,
    long LastTurn,
    long SamplesDropped,
    ulong PageTableBytes);
