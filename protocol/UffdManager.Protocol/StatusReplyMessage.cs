namespace UffdManager.Protocol;

/// <summary>The answer to STATUS.</summary>
/// <param name="SessionId">Number of the session; 0 where the numbers are those of the tenant.</param>
/// <param name="UptimeNs">Age in nanoseconds.</param>
/// <param name="Regions">Registered regions.</param>
/// <param name="RegisteredBytes">Bytes in them.</param>
/// <param name="ResidentBytes">Bytes of installed pages.</param>
/// <param name="Faults">Faults served.</param>
/// <param name="CopiedBytes">Bytes copied into the process.</param>
/// <param name="ZeroedBytes">Bytes filled with zeros.</param>
/// <param name="Deferrals">Faults that had to wait for a change of the address space.</param>
/// <param name="PoisonedPages">Pages that could not be had and were poisoned.</param>
/// <param name="InFlight">Pages being fetched.</param>
/// <param name="P50Ns">Median service time of the tenant in nanoseconds.</param>
/// <param name="P90Ns">90th percentile.</param>
/// <param name="P99Ns">99th percentile.</param>
/// <param name="P999Ns">99.9th percentile.</param>
/// <param name="Tenant">The tenant.</param>
/// <param name="Policy">The default policy.</param>
/// <param name="State">The state of the connection or session.</param>
public sealed record StatusReplyMessage(
    ulong SessionId, ulong UptimeNs, ulong Regions, ulong RegisteredBytes, ulong ResidentBytes, ulong Faults,
    ulong CopiedBytes, ulong ZeroedBytes, ulong Deferrals, ulong PoisonedPages, ulong InFlight, ulong P50Ns,
    ulong P90Ns, ulong P99Ns, ulong P999Ns, string Tenant, string Policy, string State)
    : Message
{
    /// <inheritdoc/>
    public override MessageType Type => MessageType.StatusReply;

    internal static StatusReplyMessage Read(ref BodyReader reader)
    {
        ulong sessionId = reader.U64();
        ulong uptimeNs = reader.U64();
        ulong regions = reader.U64();
        ulong registeredBytes = reader.U64();
        ulong residentBytes = reader.U64();
        ulong faults = reader.U64();
        ulong copiedBytes = reader.U64();
        ulong zeroedBytes = reader.U64();
        ulong deferrals = reader.U64();
        ulong poisonedPages = reader.U64();
        ulong inFlight = reader.U64();
        ulong p50Ns = reader.U64();
        ulong p90Ns = reader.U64();
        ulong p99Ns = reader.U64();
        ulong p999Ns = reader.U64();
        string tenant = reader.String(ProtocolLimits.MaxTenant);
        string policy = reader.String(ProtocolLimits.MaxPolicy);
        string state = reader.String(ProtocolLimits.MaxState);
        return new StatusReplyMessage(
            sessionId, uptimeNs, regions, registeredBytes, residentBytes, faults, copiedBytes, zeroedBytes, deferrals,
            poisonedPages, inFlight, p50Ns, p90Ns, p99Ns, p999Ns, tenant, policy, state);
    }

    internal override void Write(ref BodyWriter writer)
    {
        writer.U64(SessionId);
        writer.U64(UptimeNs);
        writer.U64(Regions);
        writer.U64(RegisteredBytes);
        writer.U64(ResidentBytes);
        writer.U64(Faults);
        writer.U64(CopiedBytes);
        writer.U64(ZeroedBytes);
        writer.U64(Deferrals);
        writer.U64(PoisonedPages);
        writer.U64(InFlight);
        writer.U64(P50Ns);
        writer.U64(P90Ns);
        writer.U64(P99Ns);
        writer.U64(P999Ns);
        writer.String(Tenant, ProtocolLimits.MaxTenant);
        writer.String(Policy, ProtocolLimits.MaxPolicy);
        writer.String(State, ProtocolLimits.MaxState);
    }
}
