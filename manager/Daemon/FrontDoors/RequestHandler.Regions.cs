using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sources;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Daemon.FrontDoors;

/// <content>REGISTER: what a range contains.</content>
internal sealed partial class RequestHandler
{
    private async Task<Reply> RegisterAsync(SessionEntry entry, RegisterMessage message, DescriptorSet descriptors)
    {
        bool byDescriptor = Has(message.Flags, RegisterFlags.SourceFd);
        bool fromMap = Has(message.Flags, RegisterFlags.FromMap);
        bool mailbox = Has(message.Flags, RegisterFlags.Mailbox);
        bool ownSource = message.Source.Length > 0 || byDescriptor;
        int named = (message.Source.Length > 0 ? 1 : 0) + (byDescriptor ? 1 : 0) + (fromMap ? 1 : 0) + (mailbox ? 1 : 0);
        if (named > 1)
            return Invalid("REGISTER names at most one of a path, a descriptor, an object and the mailbox");
        if (fromMap != (message.MapId != 0))
            return Invalid("a map id is given with FROM_MAP, and only then");
        PolicyDecision decision = FindPolicy(entry, message.Policy);
        if (!decision.IsGranted)
            return Reply.Error(ErrorCode.Policy, Errno.ENOENT, decision.Refusal);
        ImageLease? image = null;
        if (fromMap && !entry.Images.TryGetValue((long)message.MapId, out image))
            return Reply.Error(ErrorCode.NotFound, Errno.ENOENT, $"the session has no object {message.MapId}");

        PolicyGrant policy = decision.Grant;
        long offsetOfPolicy = named == 0 ? policy.SourceOffset : 0;
        if (message.SourceOffset > (ulong)(long.MaxValue - offsetOfPolicy))
            return Invalid($"source offset {message.SourceOffset} is too large");

        SourceDecision? source = ownSource ? await OpenAsync(entry.Tenant, message.Source, byDescriptor ? descriptors : null) : null;
        if (source is { IsGranted: false } refused)
            return Refused(refused);

        // The engine takes references of its own: the lease goes when the range is registered, or is not.
        using SourceLease? lease = source?.Lease;
        EngineResult result = await services.Engine.RegisterAsync(entry.Session, new RegisterRequest
        {
            Start = message.Start,
            Length = message.Length,
            Modes = (UffdRegisterModes)message.Modes,
            Policy = policy.Policy,
            Source = lease?.Source,
            SourceOffset = (long)message.SourceOffset + offsetOfPolicy,
            Image = image?.Image,
            Flags = EngineFlags(message.Flags, policy, named == 0),
        });
        return result.Error is { } error ? Reply.Error(error) : new RegisteredMessage(result.Value, (ulong)++_lastRegion);
    }

    private static bool Has(RegisterFlags flags, RegisterFlags flag) => (flags & flag) != RegisterFlags.None;

    private static RegionFlags EngineFlags(RegisterFlags flags, PolicyGrant policy, bool sourceOfPolicy)
    {
        RegionFlags result = RegionFlags.None;
        if (Has(flags, RegisterFlags.Mailbox))
            result |= RegionFlags.Mailbox;
        if (Has(flags, RegisterFlags.RemoveMeansSource) || (sourceOfPolicy && policy.RemoveMeansSource))
            result |= RegionFlags.RemoveMeansSource;
        if (Has(flags, RegisterFlags.WriteProtected))
            result |= RegionFlags.WriteProtected;
        return result;
    }

    private PolicyDecision FindPolicy(SessionEntry entry, string name) =>
        name.Length == 0 ? PolicyDecision.Granted(entry.DefaultPolicy) : services.Policies.Find(entry.Tenant, name);

    /// <summary>Opens a source by path, or takes the first of the descriptors; a file system may make it wait.</summary>
    private Task<SourceDecision> OpenAsync(TenantGrant tenant, string path, DescriptorSet? descriptors) => loop.Blocking.RunAsync(
        tenant.Name,
        () => descriptors is null
            ? services.Sources.OpenPath(tenant, path)
            : services.Sources.AdoptDescriptor(tenant, descriptors.Take<SafeFile>(0)));

    private static Reply Refused(SourceDecision decision) =>
        Reply.Error(decision.LimitReached ? ErrorCode.Limit : ErrorCode.Source, decision.Errno, decision.Refusal ?? "");
}
