using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Telemetry;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>What a front door works with.</summary>
internal sealed record DoorServices(
    FaultEngine Engine,
    ITenantResolver Tenants,
    IPolicyCatalog Policies,
    ISourceCatalog Sources,
    IFrontDoorTelemetry Telemetry,
    IServiceTimePercentiles ServiceTimes,
    ListenOptions Options,
    ILogger Logger,
    TimeProvider Time,
    IDrainGate? Drain,
    SessionDirectory Sessions,
    ImageCatalog Images);
