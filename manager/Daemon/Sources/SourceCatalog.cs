using System.Globalization;
using UffdManager.Daemon.Images;
using UffdManager.Daemon.Supervision;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine.Images;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Daemon.Sources;

/// <summary>
/// Opens each file once per tenant and shares it among the tenant's regions; the last reference closes it and gives the quota back.
/// </summary>
/// <remarks>
/// A file that an operator has named is memory that must not change: its holes are zeros, a change of it is noticed, and who wants the file after that gets what it is then. A client's own file is
/// read as it is.
/// Files are not shared between tenants: a client that handed over a descriptor can change the flags of the open file behind it
/// (fcntl(2), F_SETFL) and could so break another tenant's reads. For the same reason a handed-over file is opened anew where possible.
/// </remarks>
internal sealed class SourceCatalog(ImageRegistry images) : ISourceCatalog
{
    // Guards the dictionary only; no I/O happens under it, because Released arrives on fault loops.
    private readonly Lock _gate = new();
    private readonly Dictionary<Key, PageSource> _open = [];

    public SourceDecision OpenPath(TenantGrant tenant, string path) => OpenFile(tenant, path, isMemory: false);

    public SourceDecision OpenNamed(TenantGrant tenant, string path) =>
        MayUse(tenant, path) && images.Find(path) is not null ? OpenImage(tenant, path) : OpenFile(tenant, path, isMemory: true);

    private SourceDecision OpenFile(TenantGrant tenant, string path, bool isMemory)
    {
        if (path.StartsWith(ImageName.Prefix, StringComparison.Ordinal))
            return OpenImage(tenant, path[ImageName.Prefix.Length..]);

        (Errno Errno, string Text) failure = (Errno.EACCES, tenant.Options.SourceDirectories.Count == 0
            ? $"tenant {tenant.Name} has no source directories"
            : $"{path} is not below a source directory of tenant {tenant.Name}");
        foreach (string directory in tenant.Options.SourceDirectories)
        {
            if (Below(directory, path) is not { } relative)
                continue;

            SafeFile? file = OpenBeneath(directory, relative, out Errno errno);
            if (file is not null)
                return Share(tenant, file, path, isMemory);

            // The first directory that knows the name decides; one that does not leaves it to the next.
            failure = (errno, $"{path} in {directory}: {Explain(errno)}");
            if (errno != Errno.ENOENT)
                break;
        }

        return failure.Errno is Errno.EACCES or Errno.ENOENT && MayUse(tenant, path) && images.Find(path) is not null
            ? OpenImage(tenant, path)
            : SourceDecision.Refused(failure.Errno, failure.Text);
    }

    public SourceDecision AdoptDescriptor(TenantGrant tenant, SafeFile descriptor)
    {
        if (!tenant.Options.SourceDescriptors)
        {
            descriptor.Dispose();
            return SourceDecision.Refused(Errno.EACCES, $"tenant {tenant.Name} may not hand over descriptors as sources");
        }

        if (!IsReadable((OpenFlags)FileIo.GetStatusFlags(descriptor)))
        {
            descriptor.Dispose();
            return SourceDecision.Refused(Errno.EBADF, "the descriptor is not open for reading");
        }

        return Share(tenant, Reopen(descriptor), "a descriptor of the client", isMemory: false);
    }

    private static bool MayUse(TenantGrant tenant, string image) =>
        tenant.Options.Images.Any(allowed => allowed == "*" || allowed.Equals(image, StringComparison.Ordinal));

    // Images are the operator's: what they take is counted for the cache, not as files that the tenant has open.
    private SourceDecision OpenImage(TenantGrant tenant, string name)
    {
        if (!MayUse(tenant, name))
            return SourceDecision.Refused(Errno.EACCES, $"tenant {tenant.Name} may not use image \"{name}\": it is not in tenants.{tenant.Name}.images");
        try
        {
            OpenedImage image = images.Open(name);
            return SourceDecision.Granted(new SourceLease(image.Source, image.Identity));
        }
        catch (ImageException e)
        {
            return SourceDecision.Refused(e.Errno, e.Message);
        }
    }

    // The access mode is a number in the lowest two bits, not a flag.
    private static bool IsReadable(OpenFlags flags) =>
        (flags & OpenFlags.Path) == 0 && ((int)flags & 3) is (int)OpenFlags.ReadOnly or (int)OpenFlags.ReadWrite;

    private static string? Below(string directory, string path)
    {
        if (path.Length == 0 || path.Contains('\0', StringComparison.Ordinal))
            return null;
        if (path[0] != '/')
            return path;

        string prefix = directory.EndsWith('/') ? directory : directory + "/";
        return path.StartsWith(prefix, StringComparison.Ordinal) && path.Length > prefix.Length ? path[prefix.Length..].TrimStart('/') : null;
    }

    private static SafeFile? OpenBeneath(string directory, string relative, out Errno errno)
    {
        try
        {
            using SafeFile root = FileIo.OpenDirectory(directory);

            // NonBlock: opening a FIFO would wait for its writer.
            return FileIo.OpenBeneath(root, relative, OpenFlags.ReadOnly | OpenFlags.NonBlock, out errno);
        }
        catch (SyscallException e)
        {
            errno = e.Errno;
            return null;
        }
    }

    private static string Explain(Errno errno) => errno switch
    {
        Errno.ELOOP => "symbolic links are not followed",
        Errno.EXDEV => "the path leads out of the directory",
        Errno.ENOSYS => "openat2(2) is not to be had: it takes Linux 5.6, and a unit without RestrictSUIDSGID=",
        _ => errno.Describe(),
    };

    // A private open file description: the client cannot change its flags any more.
    private static SafeFile Reopen(SafeFile descriptor)
    {
        try
        {
            SafeFile own = Memfd.ReopenReadOnly(descriptor);
            descriptor.Dispose();
            return own;
        }
        catch (SyscallException)
        {
            // The file may be open to its owner alone (network file systems); the client's own description has to do.
            return descriptor;
        }
    }

    private SourceDecision Share(TenantGrant tenant, SafeFile file, string subject, bool isMemory)
    {
        FileStatus status;
        try
        {
            status = FileIo.Stat(file);
        }
        catch (SyscallException e)
        {
            file.Dispose();
            return SourceDecision.Refused(e.Errno, $"{subject}: {e.Errno.Describe()}");
        }

        if (!status.IsRegular)
        {
            file.Dispose();
            return SourceDecision.Refused(Errno.EINVAL, $"{subject} is not a regular file");
        }

        Key key = new(tenant.Name, status.Device, status.Inode, status.Size, isMemory ? status.ModifiedNanoseconds : Key.AnyTime);
        if (TryShare(key) is { } shared)
        {
            file.Dispose();
            return SourceDecision.Granted(shared);
        }

        if (!tenant.Sources.TryTake(key.Size, tenant.Limits, out string? refusal))
        {
            file.Dispose();
            return SourceDecision.OverLimit($"tenant {tenant.Name} {refusal}");
        }

        try
        {
            PageSource source = Make(file, $"{subject} ({status.Device:x}:{status.Inode:x})", isMemory);
            source.OwnerTag = key.ToTag();
            Share(source, key, tenant.Sources);
            return SourceDecision.Granted(new SourceLease(source, key.Device, key.Inode));
        }
        catch (SyscallException e)
        {
            tenant.Sources.Return(key.Size);
            return SourceDecision.Refused(e.Errno, $"{subject}: {e.Errno.Describe()}");
        }
        catch (ArgumentException e)
        {
            tenant.Sources.Return(key.Size);
            return SourceDecision.Refused(Errno.EINVAL, e.Message);
        }
    }

    /// <summary>Shares a source of the manager before again, and charges it to its tenant, whatever the limit is now.</summary>
    /// <param name="source">The source; not referenced.</param>
    /// <param name="ownerTag">What this catalog had written with it; anything else is not one of its sources.</param>
    /// <param name="quotaOf">What a tenant has open.</param>
    public void Restore(PageSource source, string ownerTag, Func<string, SourceQuota> quotaOf)
    {
        if (Key.TryRead(ownerTag) is not { } key)
            return;
        SourceQuota quota = quotaOf(key.Tenant);
        quota.Take(key.Size);
        Share(source, key, quota);
    }

    private void Share(PageSource source, Key key, SourceQuota quota)
    {
        source.Released = () => Forget(key, source, quota);
        lock (_gate)
            _open[key] = source;
    }

    private SourceLease? TryShare(Key key)
    {
        lock (_gate)
        {
            if (!_open.TryGetValue(key, out PageSource? source))
                return null;

            // What was written and put back is opened anew, and who has it from before goes on without.
            if (source is PlainImage { HasChanged: true })
                return null;

            try
            {
                return new SourceLease(source.AddReference(), key.Device, key.Inode);
            }
            catch (ObjectDisposedException)
            {
                // Its last reference fell a moment ago; Forget will find another object in its place and leave that alone.
                return null;
            }
        }
    }

    private void Forget(Key key, PageSource source, SourceQuota quota)
    {
        lock (_gate)
        {
            if (_open.TryGetValue(key, out PageSource? found) && ReferenceEquals(found, source))
                _open.Remove(key);
        }

        quota.Return(key.Size);
    }

    // Sealed memory answers at once, everything else is a file.
    private static PageSource Make(SafeFile file, string description, bool isMemory) =>
        IsSealedMemory(file) ? new MemfdSource(file, description)
        : isMemory ? new PlainImage(new ImageLayer(file, FileIo.ReadDescriptorLink(file), isDirect: false), description)
        : new FileSource(file, description);

    private static bool IsSealedMemory(SafeFile file)
    {
        try
        {
            return Memfd.GetSeals(file).HasFlag(MemfdSeals.Shrink) && FileIo.Stat(file).Size > 0;
        }
        catch (SyscallException)
        {
            // EINVAL: not a memfd.
            return false;
        }
    }

    private readonly record struct Key(string Tenant, ulong Device, ulong Inode, long Size, long Modified)
    {
        /// <summary>Of files of which it does not matter when they were last written.</summary>
        public const long AnyTime = -1;

        public string ToTag() => OwnerTag.Write(
            Tenant,
            Device.ToString(CultureInfo.InvariantCulture),
            Inode.ToString(CultureInfo.InvariantCulture),
            Size.ToString(CultureInfo.InvariantCulture),
            Modified.ToString(CultureInfo.InvariantCulture));

        public static Key? TryRead(string tag) =>
            OwnerTag.TryRead(tag, 4) is { } fields
            && ulong.TryParse(fields[1], NumberStyles.None, CultureInfo.InvariantCulture, out ulong device)
            && ulong.TryParse(fields[2], NumberStyles.None, CultureInfo.InvariantCulture, out ulong inode)
            && long.TryParse(fields[3], NumberStyles.None, CultureInfo.InvariantCulture, out long size)
                ? new Key(fields[0], device, inode, size, fields.Length > 4 && long.TryParse(fields[4], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long modified) ? modified : AnyTime)
                : null;
    }
}
