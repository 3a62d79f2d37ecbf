using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Images;
using UffdManager.Daemon.Sources;
using UffdManager.Engine.Images;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Daemon.Tenancy;

/// <summary>
/// Makes the engine's policies from the configuration and opens the images they name.
/// </summary>
/// <remarks>
/// A policy that a reload leaves as it is stays the same object. An image that no policy names any more stays open while anybody can reach the
/// policy object that points to it: sessions, connections that are just attaching, forked children that have not come yet. The garbage
/// collector knows all of them; a list of our own would miss one. Regions keep references to the image themselves.
/// </remarks>
internal sealed class PolicyCatalog : IPolicyCatalog, IDisposable
{
    /// <summary>How often retired images are looked at.</summary>
    public static readonly TimeSpan Retention = TimeSpan.FromMinutes(1);

    private readonly Lock _changing = new();
    private readonly ImageRegistry _images;
    private readonly List<(PageSource Source, WeakReference<Policy> Policy)> _retired = [];
    private Dictionary<string, Entry> _policies = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Opens what the policies of a configuration need.</summary>
    /// <exception cref="ConfigurationException">Something of it cannot be opened.</exception>
    public PolicyCatalog(ManagerConfiguration configuration, ImageRegistry images)
        : this(configuration, images, missing: null)
    {
    }

    private PolicyCatalog(ManagerConfiguration configuration, ImageRegistry images, List<string>? missing)
    {
        _images = images;
        Missing = missing ?? [];
        List<ConfigurationError> errors = [];
        Prepared prepared = PrepareAll(configuration, errors, missing);
        if (errors.Count > 0)
        {
            prepared.Discard();
            throw new ConfigurationException(errors);
        }

        Commit(prepared);
    }

    /// <summary>
    /// The catalog of a daemon that begins. An image that somebody has touched, or whose file system is not there yet, must not keep it from serving everybody else: the policy
    /// that takes its contents from it has none until a reload finds the image, its verdict falls, and <see cref="Missing"/> says so.
    /// </summary>
    /// <exception cref="ConfigurationException">Something else cannot be opened.</exception>
    public static PolicyCatalog AtStart(ManagerConfiguration configuration, ImageRegistry images) => new(configuration, images, missing: []);

    /// <summary>For the log: the policies whose image could not be opened at the start, and why.</summary>
    public IReadOnlyList<string> Missing { get; }

    /// <summary>The policies of the configuration, in no order.</summary>
    public IEnumerable<(PolicyOptions Options, PolicyGrant Grant)> All => Volatile.Read(ref _policies).Values.Select(entry => (entry.Options, entry.Grant));

    public PolicyDecision Find(TenantGrant tenant, string name)
    {
        Dictionary<string, Entry> policies = Volatile.Read(ref _policies);
        string wanted = name.Length == 0 ? tenant.Options.DefaultPolicy : name;
        bool allowed = wanted.Equals(tenant.Options.DefaultPolicy, StringComparison.OrdinalIgnoreCase)
            || tenant.Options.Policies.Any(policy => policy == "*" || policy.Equals(wanted, StringComparison.OrdinalIgnoreCase));
        return allowed && policies.TryGetValue(wanted, out Entry? entry)
            ? PolicyDecision.Granted(entry.Grant)
            : PolicyDecision.Refused($"policy \"{wanted}\" is not one that tenant {tenant.Name} may use");
    }

    /// <summary>Opens what a new configuration needs, without using it yet.</summary>
    /// <param name="configuration">The new configuration.</param>
    /// <param name="errors">Gets an error for each image that cannot be opened.</param>
    public Prepared Prepare(ManagerConfiguration configuration, List<ConfigurationError> errors) => PrepareAll(configuration, errors, missing: null);

    private Prepared PrepareAll(ManagerConfiguration configuration, List<ConfigurationError> errors, List<string>? missing)
    {
        Dictionary<string, Entry> old = Volatile.Read(ref _policies);
        Prepared prepared = new();
        foreach ((string name, PolicyOptions options) in configuration.Policies)
        {
            PageSource? source = null;
            string identity = "";
            long size = 0;
            if (options.Source.Kind is PolicySourceKind.File or PolicySourceKind.Image)
            {
                bool isImage = options.Source.Kind == PolicySourceKind.Image;
                source = isImage ? TryOpenImage(options.Source.Image!, out identity, out string? problem) : TryOpen(options.Source.Path!, out identity, out problem);
                if (source is null && isImage && missing is not null)
                {
                    missing.Add($"policy {name} takes its contents from image {options.Source.Image}, which cannot be used: {problem}");
                    source = new LostSource($"image {options.Source.Image}, which could not be used when the manager began");

                    // No object of anybody else is one of these contents.
                    identity = $"{ImageName.Prefix}{options.Source.Image}, lost";
                }

                if (source is null)
                {
                    errors.Add(new ConfigurationError(
                        $"policies.{name}.source.{(isImage ? "image" : "path")}", $"\"{(isImage ? options.Source.Image : options.Source.Path)}\" cannot be used: {problem}", Origin: null));
                    continue;
                }

                size = source.Length;
            }

            // The same file under the same settings: sessions old and new share one policy. Not if it has been touched and put back: the open one is not read any more.
            if (old.TryGetValue(name, out Entry? before) && before.Options == options && before.Grant.Policy.Source is not LayeredSource { ChangedFile: not null } && (before.Grant.SourceIdentity, before.Size) == (identity, size))
            {
                source?.Dispose();
                prepared.Policies.Add(name, before);
                continue;
            }

            int version = before is null ? 1 : before.Grant.Policy.Version + 1;
            prepared.Policies.Add(name, new Entry(options, size, Grant(name, version, options, source, identity)));
            if (source is not null)
                prepared.Opened.Add(source);
        }

        return prepared;
    }

    /// <summary>Uses what <see cref="Prepare"/> made, from now on.</summary>
    public void Commit(Prepared prepared)
    {
        lock (_changing)
        {
            foreach (Entry entry in _policies.Values)
            {
                bool kept = prepared.Policies.TryGetValue(entry.Grant.Policy.Name, out Entry? now) && ReferenceEquals(now, entry);
                if (!kept && entry.Grant.Policy.Source is { IsZero: false } source)
                    _retired.Add((source, new WeakReference<Policy>(entry.Grant.Policy)));
            }

            Volatile.Write(ref _policies, prepared.Policies);
        }
    }

    /// <summary>Closes retired images that nobody can point to any more.</summary>
    /// <param name="inUse">Default policies of live sessions: while these are all that is left, no collection is worth its time.</param>
    public void CloseRetired(IReadOnlySet<Policy> inUse)
    {
        bool isWorthCollecting = false;
        lock (_changing)
        {
            for (int i = _retired.Count - 1; i >= 0; i--)
            {
                (PageSource source, WeakReference<Policy> weak) = _retired[i];
                if (weak.TryGetTarget(out Policy? policy))
                {
                    isWorthCollecting |= !inUse.Contains(policy);
                    continue;
                }

                _retired.RemoveAt(i);
                source.Dispose();
            }
        }

        // An idle daemon would not collect its old objects for hours. In the background, and only in the minutes after a reload.
        if (isWorthCollecting)
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: false);
    }

    public void Dispose()
    {
        lock (_changing)
        {
            foreach ((PageSource source, _) in _retired)
                source.Dispose();
            _retired.Clear();
            foreach (Entry entry in _policies.Values)
                entry.Grant.Policy.Source?.Dispose();
            _policies = [];
        }
    }

    private static PolicyGrant Grant(string name, int version, PolicyOptions options, PageSource? source, string identity)
    {
        Policy policy = new()
        {
            Name = name,
            Version = version,
            Source = options.Source.Kind == PolicySourceKind.Zero ? ZeroSource.Instance : source,
            FaultAroundBytes = options.FaultAroundBytes,
            OnUnavailable = options.OnUnavailable switch
            {
                UnavailableAction.Kill => Verdict.Kill,
                UnavailableAction.Poison => Verdict.Poison,
                _ => Verdict.Wait,
            },
            Deadline = options.Deadline,
            RetryBackoff = options.RetryBackoff,
            BusyPoll = options.BusyPoll,
            Prefetch = options.Prefetch.ToPolicy(),
        };
        return new PolicyGrant(policy, options.Source.Offset, options.RemoveMeansSource)
        {
            SourceIdentity = identity,
        };
    }

    private static FileSource? TryOpen(string path, out string identity, out string? problem)
    {
        identity = "";
        try
        {
            SafeFile file = FileIo.Open(path, OpenFlags.ReadOnly | OpenFlags.NonBlock);
            FileStatus status = FileIo.Stat(file);
            identity = SourceLease.IdentityOf(status.Device, status.Inode);
            problem = null;
            return new FileSource(file, $"file {path}");
        }
        catch (SyscallException e)
        {
            problem = e.Errno.Describe();
            return null;
        }
        catch (ArgumentException)
        {
            problem = "it is not a regular file";
            return null;
        }
    }

    private LayeredSource? TryOpenImage(string name, out string identity, out string? problem)
    {
        (identity, problem) = ("", null);
        try
        {
            OpenedImage image = _images.Open(name);
            identity = image.Identity;
            return image.Source;
        }
        catch (ImageException e)
        {
            problem = e.Message;
            return null;
        }
    }

    internal sealed record Entry(PolicyOptions Options, long Size, PolicyGrant Grant);

    /// <summary>The policies of a configuration that is not in use yet.</summary>
    internal sealed class Prepared
    {
        public Dictionary<string, Entry> Policies { get; } = new(StringComparer.OrdinalIgnoreCase);

        public List<PageSource> Opened { get; } = [];

        /// <summary>Closes what was opened, when the configuration is not going to be used.</summary>
        public void Discard() => Opened.ForEach(source => source.Dispose());
    }
}
