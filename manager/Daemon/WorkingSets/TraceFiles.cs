using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;

namespace UffdManager.Daemon.WorkingSets;

/// <summary>Keeps traces of working sets in files: beside their image where the daemon may write, else in a directory of its own.</summary>
internal sealed partial class TraceFiles(ConfigurationInUse inUse, WorkingSetOptions options, ILogger<TraceFiles> logger, TimeProvider time) : ITraceStore
{
    /// <summary>Traces in the directory of one's own; beyond them the oldest of whoever has most go.</summary>
    public const int MostFiles = 4096;

    /// <summary>Bytes of all of them.</summary>
    public const long MostBytes = 256L << 20;

    // A tenant alone must not make the others' go: of files and bytes it may have this part.
    private const int TenantShare = 4;

    // To look through the directory at each save would be most of the work.
    private const int SavesBetweenLooks = 256;
    private const long BytesBetweenLooks = 64L << 20;

    private readonly LogThrottle _troubles = new(time);
    private int _saves;
    private long _savedBytes;

    /// <inheritdoc/>
    public byte[]? TryLoad(in TraceKey key, string? source)
    {
        try
        {
            using TracePlace? beside = Beside(key, source);
            if (beside?.TryRead(out _) is byte[] found)
                return found;

            using TracePlace? own = Own(key, make: false);
            byte[]? bytes = null;
            Errno errno = Errno.ENOENT;
            if (own is not null)
                bytes = own.TryRead(out errno);
            if (bytes is null && errno != Errno.ENOENT && MayTell(typeof(Errno), key))
                LogNotRead(source, key.Tenant, options.Directory, errno);
            return bytes;
        }
        catch (Exception e) when (e is SyscallException or IOException or UnauthorizedAccessException)
        {
            if (MayTell(e.GetType(), key))
                LogTrouble(source, key.Tenant, e.Message);
            return null;
        }
    }

    /// <inheritdoc/>
    public void Save(in TraceKey key, string? source, ReadOnlySpan<byte> trace)
    {
        try
        {
            using TracePlace? beside = Beside(key, source);
            if (beside?.TryWrite(trace) == Errno.OK)
                return;

            using TracePlace? own = Own(key, make: true);
            Errno errno = own?.TryWrite(trace) ?? Errno.ENOENT;
            if (errno != Errno.OK && MayTell(typeof(TracePlace), key))
                LogNotKept(source, key.Tenant, options.Directory, errno);
            long saved = Interlocked.Add(ref _savedBytes, trace.Length);
            if (Interlocked.Increment(ref _saves) % SavesBetweenLooks == 0 || saved / BytesBetweenLooks != (saved - trace.Length) / BytesBetweenLooks)
                ForgetOldest();
        }
        catch (Exception e) when (e is SyscallException or IOException or UnauthorizedAccessException)
        {
            if (MayTell(e.GetType(), key))
                LogTrouble(source, key.Tenant, e.Message);
        }
    }

    /// <inheritdoc/>
    public bool Forget(in TraceKey key, string? source)
    {
        try
        {
            using TracePlace? beside = Beside(key, source);
            using TracePlace? own = Own(key, make: false);
            return (beside?.Remove() == Errno.OK) | (own?.Remove() == Errno.OK);
        }
        catch (Exception e) when (e is SyscallException or IOException or UnauthorizedAccessException)
        {
            if (MayTell(e.GetType(), key))
                LogTrouble(source, key.Tenant, e.Message);
            return false;
        }
    }

    /// <inheritdoc/>
    public void Rejected(in TraceKey key, string? source, string reason)
    {
        if (MayTell(typeof(TraceKey), key))
            LogRejected(source, key.Tenant, reason);
    }

    /// <inheritdoc/>
    public void Failed(in TraceKey key, string? source, Exception failure)
    {
        if (MayTell(failure.GetType(), key))
            LogFailed(failure, source, key.Tenant);
    }

    /// <summary>Keeps the newest traces of each tenant, as many and as much as may lie there of one, and of all.</summary>
    internal void ForgetOldest()
    {
        List<Queue<FileInfo>> tenants = [];
        foreach (IGrouping<string, FileInfo> own in new DirectoryInfo(options.Directory).GetFiles("*.trace").GroupBy(file => TenantOf(file.Name)))
        {
            Queue<FileInfo> oldestFirst = new(own.OrderBy(file => file.LastWriteTimeUtc));
            while (oldestFirst.Count > MostFiles / TenantShare || oldestFirst.Sum(file => file.Length) > MostBytes / TenantShare)
                oldestFirst.Dequeue().Delete();
            tenants.Add(oldestFirst);
        }

        while (tenants.Sum(own => own.Count) > MostFiles)
            tenants.MaxBy(own => own.Count)!.Dequeue().Delete();
        while (tenants.Sum(own => own.Sum(file => file.Length)) > MostBytes)
            tenants.MaxBy(own => own.Sum(file => file.Length))!.Dequeue().Delete();
    }

    private static string TenantOf(string name) => name.Length > ".trace".Length && name.LastIndexOf('.', name.Length - ".trace".Length - 1) is int end and > 0 ? name[..end] : "";

    private TracePlace? Beside(in TraceKey key, string? source)
    {
        if (!options.BesideImages || source is null)
            return null;

        ManagerConfiguration configuration = inUse.Now.Loaded.Value!;
        IEnumerable<string> ofTenant = configuration.Tenants.TryGetValue(key.Tenant, out TenantOptions? tenant) ? tenant.SourceDirectories : [];
        IEnumerable<string> ofPolicies = configuration.Policies.Values
            .Where(policy => string.Equals(policy.Source.Path, source, StringComparison.Ordinal))
            .Select(_ => Path.GetDirectoryName(source) ?? "/");
        return TracePlace.TryBeside(key, source, ofTenant.Concat(ofPolicies));
    }

    private TracePlace? Own(in TraceKey key, bool make)
    {
        if (make && !Directory.Exists(options.Directory))
            Directory.CreateDirectory(options.Directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        SafeFile? directory = FileIo.TryOpen(options.Directory, OpenFlags.Path | OpenFlags.Directory, out _);
        if (directory is null)
            return null;

        // The file may be anywhere, and any number of tenants may use it: its number says which one it is.
        byte[] name = SHA256.HashData(Encoding.UTF8.GetBytes($"{key.Source.Device:x}:{key.Source.Inode:x}/{key.PageBytes}"));
        return new TracePlace(directory, $"{key.Tenant}.{Convert.ToHexStringLower(name.AsSpan(0, 16))}.trace");
    }

    private bool MayTell(Type kind, in TraceKey key) => _troubles.TryEnter(kind, key.Tenant, out _);

    [LoggerMessage(4101, LogLevel.Warning, "The trace of {Source} for tenant {Tenant} is not used, {Reason}, learning anew")]
    private partial void LogRejected(string? source, string tenant, string reason);

    [LoggerMessage(4102, LogLevel.Warning, "The trace of {Source} for tenant {Tenant} cannot be kept in {Directory}, {Errno}; it lasts as long as the daemon, ignoring")]
    private partial void LogNotKept(string? source, string tenant, string directory, Errno errno);

    [LoggerMessage(4103, LogLevel.Warning, "The trace of {Source} for tenant {Tenant} cannot be read from {Directory}, {Errno}, learning anew")]
    private partial void LogNotRead(string? source, string tenant, string directory, Errno errno);

    [LoggerMessage(4104, LogLevel.Warning, "The trace of {Source} for tenant {Tenant}: {Reason}, ignoring")]
    private partial void LogTrouble(string? source, string tenant, string reason);

    [LoggerMessage(4105, LogLevel.Error, "The working set of {Source} for tenant {Tenant} cannot be planned with or learnt from: a defect, please report it; ignoring")]
    private partial void LogFailed(Exception failure, string? source, string tenant);
}
