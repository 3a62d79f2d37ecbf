using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine;
using UffdManager.Engine.State;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>What the front door of snapshots works with.</summary>
/// <param name="Engine">Gets the sessions.</param>
/// <param name="Tenants">Who is accounted.</param>
/// <param name="Policies">What a tenant may use.</param>
/// <param name="Sources">Opens images.</param>
/// <param name="Telemetry">Counts.</param>
/// <param name="Logger">Hears what becomes of sockets and VMs.</param>
/// <param name="Time">Measures deadlines.</param>
/// <param name="Drain">Tells when new VMs are to be refused; null for never.</param>
/// <param name="Decoders">Read the messages of connections.</param>
/// <param name="Sessions">Which session belongs to which snapshot.</param>
/// <param name="Store">Keeps sockets and connections for the next manager.</param>
/// <param name="MaxConnections">Connections of all sockets together.</param>
/// <param name="Identify">Tells who is at the other end of a connection.</param>
internal sealed record SnapshotServices(
    FaultEngine Engine,
    TenantCatalog Tenants,
    IPolicyCatalog Policies,
    ISourceCatalog Sources,
    IFrontDoorTelemetry Telemetry,
    ILogger Logger,
    TimeProvider Time,
    IDrainGate? Drain,
    HandOverDecoders Decoders,
    SnapshotSessions Sessions,
    IDescriptorStore Store,
    int MaxConnections,
    PeerIdentifier Identify);
