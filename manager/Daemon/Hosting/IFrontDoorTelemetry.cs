using UffdManager.Daemon.FrontDoors.Snapshots;

namespace UffdManager.Daemon.Hosting;

/// <summary>What front doors report to the metrics. Any thread; implementations neither throw nor block.</summary>
public interface IFrontDoorTelemetry
{
    /// <summary>A peer was identified and let in.</summary>
    /// <param name="door">The front door's name.</param>
    /// <param name="tenant">The tenant's name.</param>
    void ConnectionOpened(string door, string tenant);

    /// <summary>A connection reported by <see cref="ConnectionOpened"/> is closed.</summary>
    /// <param name="door">The front door's name.</param>
    /// <param name="tenant">The tenant's name.</param>
    void ConnectionClosed(string door, string tenant);

    /// <summary>A peer was turned away before its first message.</summary>
    /// <param name="door">The front door's name.</param>
    /// <param name="reason">Why.</param>
    void PeerRefused(string door, PeerRefusal reason);

    /// <summary>Nobody was let in at a socket for a moment; counted again for as long as it lasts.</summary>
    /// <param name="door">The front door's name.</param>
    /// <param name="reason">Why.</param>
    void AdmissionPaused(string door, AdmissionPause reason);

    /// <summary>A peer broke the protocol.</summary>
    /// <param name="door">The front door's name.</param>
    /// <param name="reason">How.</param>
    void ProtocolError(string door, ProtocolErrorReason reason);

    /// <summary>A VM had handed its memory over, could not be served, and was killed.</summary>
    /// <param name="door">The front door's name.</param>
    /// <param name="reason">Why.</param>
    void VmKilled(string door, HandOverRefusal reason);

    /// <summary>A request was answered.</summary>
    /// <param name="door">The front door's name.</param>
    /// <param name="tenant">The tenant's name.</param>
    /// <param name="request">The request's wire name in snake_case, a closed set.</param>
    /// <param name="outcome">"ok", or the error code's wire name in snake_case, a closed set.</param>
    /// <param name="duration">From the request's arrival to its reply.</param>
    void RequestCompleted(string door, string tenant, string request, string outcome, TimeSpan duration);
}
