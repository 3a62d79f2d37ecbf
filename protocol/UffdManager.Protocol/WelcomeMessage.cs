namespace UffdManager.Protocol;

/// <summary>The answer to HELLO and ATTACH.</summary>
/// <param name="Version">The version that this connection speaks from now on.</param>
/// <param name="Flags">What came of the request.</param>
/// <param name="PageSize">Base page size in bytes.</param>
/// <param name="SessionId">Number of the session; 0 without one.</param>
/// <param name="ResumeToken">Secret by which this client finds its session again; 0 without one.</param>
/// <param name="FeaturesEnabled">UFFD_FEATURE_* bits enabled on the userfaultfd; 0 without a session.</param>
/// <param name="FeaturesAvailable">UFFD_FEATURE_* bits of the kernel.</param>
/// <param name="MaxRegisteredBytes">Limit of the tenant in bytes.</param>
/// <param name="MaxRegions">Limit of the tenant.</param>
/// <param name="Tenant">Who the peer is taken for.</param>
/// <param name="Policy">The session's default policy.</param>
public sealed record WelcomeMessage(
    ushort Version, WelcomeFlags Flags, uint PageSize, ulong SessionId, ulong ResumeToken, ulong FeaturesEnabled,
    ulong FeaturesAvailable, ulong MaxRegisteredBytes, uint MaxRegions, string Tenant, string Policy)
    : Message
{
    /// <inheritdoc/>
    public override MessageType Type => MessageType.Welcome;

    /// <inheritdoc/>
    public override int Descriptors => (Flags & (WelcomeFlags.Device | WelcomeFlags.Uffd)) != WelcomeFlags.None ? 1 : 0;

    internal static WelcomeMessage Read(ref BodyReader reader)
    {
        ushort version = reader.U16();
        WelcomeFlags flags = (WelcomeFlags)reader.Flags16((ushort)WelcomeFlags.All);
        uint pageSize = reader.U32();
        ulong sessionId = reader.U64();
        ulong resumeToken = reader.U64();
        ulong featuresEnabled = reader.U64();
        ulong featuresAvailable = reader.U64();
        ulong maxRegisteredBytes = reader.U64();
        uint maxRegions = reader.U32();
        reader.Reserved32();
        string tenant = reader.String(ProtocolLimits.MaxTenant);
        string policy = reader.String(ProtocolLimits.MaxPolicy);
        return new WelcomeMessage(
            version, flags, pageSize, sessionId, resumeToken, featuresEnabled, featuresAvailable, maxRegisteredBytes,
            maxRegions, tenant, policy);
    }

    internal override void Write(ref BodyWriter writer)
    {
        writer.U16(Version);
        writer.U16((ushort)Flags);
        writer.U32(PageSize);
        writer.U64(SessionId);
        writer.U64(ResumeToken);
        writer.U64(FeaturesEnabled);
        writer.U64(FeaturesAvailable);
        writer.U64(MaxRegisteredBytes);
        writer.U32(MaxRegions);
        writer.Reserved32();
        writer.String(Tenant, ProtocolLimits.MaxTenant);
        writer.String(Policy, ProtocolLimits.MaxPolicy);
    }
}
