using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine.Sources;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Daemon.FrontDoors;

/// <content>MAP: objects that clients of a tenant share.</content>
internal sealed partial class RequestHandler
{
    private async Task<Reply> MapAsync(SessionEntry entry, MapMessage message, DescriptorSet descriptors)
    {
        bool byDescriptor = (message.Flags & MapFlags.SourceFd) != MapFlags.None;
        bool writable = (message.Flags & MapFlags.Writable) != MapFlags.None;
        bool ownSource = message.Source.Length > 0 || byDescriptor;
        ulong page = (ulong)Environment.SystemPageSize;
        if (byDescriptor && message.Source.Length > 0)
            return Invalid("MAP names at most one of a path and a descriptor");
        if (message.Length == 0 || ((message.Length | message.SourceOffset) & (page - 1)) != 0)
            return Invalid($"length {message.Length} and offset {message.SourceOffset} must be multiples of the page size, and length above 0");
        PolicyDecision decision = FindPolicy(entry, message.Policy);
        if (!decision.IsGranted)
            return Reply.Error(ErrorCode.Policy, Errno.ENOENT, decision.Refusal);
        PolicyGrant policy = decision.Grant;
        long offsetOfPolicy = ownSource ? 0 : policy.SourceOffset;
        if (message.Length > long.MaxValue || message.SourceOffset > (ulong)(long.MaxValue - offsetOfPolicy) - message.Length)
            return Invalid($"{message.Length} bytes from offset {message.SourceOffset} on are too many");

        SourceDecision? opened = ownSource ? await OpenAsync(entry.Tenant, message.Source, byDescriptor ? descriptors : null) : null;
        if (opened is { IsGranted: false } refused)
            return Refused(refused);
        using SourceLease? lease = opened?.Lease;
        if ((lease?.Source ?? policy.Policy.Source) is not { } source)
            return Reply.Error(ErrorCode.Source, Errno.EINVAL, $"policy {policy.Policy.Name} has no source of its own: name one");

        long offset = (long)message.SourceOffset + offsetOfPolicy;
        string identity = lease?.Identity ?? (source.IsZero ? "zero" : policy.SourceIdentity);
        ImageKey? key = KeyOf(entry, message, identity, offset, writable);
        ImageDecision image = loop.Images.GetOrCreate(entry.Tenant, key, source, identity, offset, (long)message.Length, writable);
        return image.Lease is null ? Reply.Error(image.Code, image.Errno, image.Text) : await MappedAsync(entry, image.Lease, writable);
    }

    private static ImageKey? KeyOf(SessionEntry entry, MapMessage message, string source, long offset, bool writable)
    {
        if (message.Name.Length > 0)
            return new ImageKey(entry.Tenant.Name, message.Name, "", 0, 0, ByPermission: false);

        // What one client writes into an object, no other may come upon who has not asked for it by name.
        bool byPermission = entry.Connection?.Peer.IsBoundByPermissions() ?? false;
        return writable ? null : new ImageKey(entry.Tenant.Name, "", source, offset, (long)message.Length, byPermission);
    }

    private async Task<Reply> MappedAsync(SessionEntry entry, ImageLease lease, bool writable)
    {
        SharedImage image = lease.Image;
        SafeFd descriptor;
        try
        {
            if (entry.ToRecord(image.Id).Encode() is not { } record)
            {
                lease.Dispose();
                return Reply.Error(ErrorCode.Limit, Errno.EMFILE, $"the session has {entry.Images.Count} objects, and no room to remember another one");
            }

            // Before the client hears of it: an object that it knows must outlive this manager, mapped by the client or not.
            if (services.Engine.Keep(image) is { } unkept)
            {
                lease.Dispose();
                return Reply.Error(ErrorCode.Limit, unkept.Errno, unkept.Text);
            }

            await services.Engine.SetOwnerRecordAsync(entry.Session, record);
            descriptor = image.HandOut(writable);
        }
        catch
        {
            lease.Dispose();
            throw;
        }

        // A session holds each object once, however often it asks; one that ended meanwhile holds none.
        if (entry.Session.State is Engine.Sessions.SessionState.Ended || !entry.Images.TryAdd(image.Id, lease))
            lease.Dispose();
        MapFlags flags = writable ? MapFlags.Writable : MapFlags.None;
        return new Reply(new MappedMessage((ulong)image.Id, (ulong)image.Length, flags), descriptor);
    }
}
