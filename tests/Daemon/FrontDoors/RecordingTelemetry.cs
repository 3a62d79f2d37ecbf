using System.Collections.Concurrent;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Daemon.Hosting;

namespace UffdManager.Daemon.Tests.FrontDoors;

/// <summary>Remembers what a front door reports.</summary>
internal sealed class RecordingTelemetry : IFrontDoorTelemetry
{
    private int _open;

    public int Open => Volatile.Read(ref _open);

    public ConcurrentQueue<PeerRefusal> Refusals { get; } = new();

    public ConcurrentQueue<AdmissionPause> Pauses { get; } = new();

    public ConcurrentQueue<ProtocolErrorReason> Errors { get; } = new();

    public ConcurrentQueue<(string Request, string Outcome)> Requests { get; } = new();

    public void ConnectionOpened(string door, string tenant) => Interlocked.Increment(ref _open);

    public void ConnectionClosed(string door, string tenant) => Interlocked.Decrement(ref _open);

    public void PeerRefused(string door, PeerRefusal reason) => Refusals.Enqueue(reason);

    public void AdmissionPaused(string door, AdmissionPause reason) => Pauses.Enqueue(reason);

    public void ProtocolError(string door, ProtocolErrorReason reason) => Errors.Enqueue(reason);

    public ConcurrentQueue<HandOverRefusal> Kills { get; } = new();

    public void VmKilled(string door, HandOverRefusal reason) => Kills.Enqueue(reason);

    public void RequestCompleted(string door, string tenant, string request, string outcome, TimeSpan duration) => Requests.Enqueue((request, outcome));
}
