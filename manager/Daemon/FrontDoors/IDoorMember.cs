using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>Somebody whose descriptor a <see cref="DoorThread"/> watches. Called on that thread alone.</summary>
internal interface IDoorMember
{
    /// <summary>When <see cref="OnDeadline"/> is due, by the clock of the thread's <see cref="DoorThread.DueIn"/>; 0 for never.</summary>
    long Deadline { get; }

    /// <summary>epoll has something to tell.</summary>
    void OnReady(EpollEvents events);

    /// <summary>The time given to <see cref="DoorThread.ExpectWithin"/> is over.</summary>
    void OnDeadline();

    /// <summary>Something went wrong that no rule foresees: the member ends, the thread goes on.</summary>
    void Fail(Exception exception);
}
