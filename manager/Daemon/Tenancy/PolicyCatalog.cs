using UffdManager.Daemon.Configuration;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Daemon.Tenancy;

/// <summary>
/// Makes the engine's policies from the configuration and opens the images they name.
/// </summary>
/// <remarks>
/// A policy that a reload leaves as it is stays the same object. An image that no policy names any more stays open while a session's default
/// policy still points to it, and for a while longer (<see cref="Retention"/>), because a client that is just attaching holds the policy
/// without being a session yet. Regions keep references of their own.
/// </remarks>
internal sealed class PolicyCatalog : IPolicyCatalog, IDisposable
{
    /// <summary>How long a retired image is kept at least; far longer than an attach takes.</summary>
    public static readonly TimeSpan Retention = TimeSpan.FromMinutes(1);

    private readonly TimeProvider _time;
    private readonly Lock _changing = new();
    private readonly List<(PageSource Source, long RetiredAt)> _retired = [];
    private Dictionary<string, Entry> _policies = new(StringComparer.OrdinalIgnoreCase);

    public PolicyCatalog(ManagerConfiguration configuration, TimeProvider time)
    {
        _time = time;
        List<ConfigurationError> errors = [];
        Prepared prepared = Prepare(configuration, errors);
        if (errors.Count > 0)
        {
            prepared.Discard();
            throw new ConfigurationException(errors);
        }

        Commit(prepared);
    }

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
    public Prepared Prepare(ManagerConfiguration configuration, List<ConfigurationError> errors)
    {
        Dictionary<string, Entry> old = Volatile.Read(ref _policies);
        Prepared prepared = new();
        foreach ((string name, PolicyOptions options) in configuration.Policies)
        {
            PageSource? source = null;
            FileStatus status = default;
            if (options.Source.Kind == PolicySourceKind.File)
            {
                string path = options.Source.Path!;
                source = TryOpen(path, out status, out string? problem);
                if (source is null)
                {
                    errors.Add(new ConfigurationError($"policies.{name}.source.path", $"\"{path}\" cannot be used: {problem}", Origin: null));
                    continue;
                }
            }

            // The same file under the same settings: sessions old and new share one policy.
            if (old.TryGetValue(name, out Entry? before) && before.Options == options && before.SameFile(status))
            {
                source?.Dispose();
                prepared.Policies.Add(name, before);
                continue;
            }

            int version = before is null ? 1 : before.Grant.Policy.Version + 1;
            prepared.Policies.Add(name, new Entry(options, status, Grant(name, version, options, source)));
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
                if (!kept && entry.Grant.Policy.Source is FileSource source)
                    _retired.Add((source, _time.GetTimestamp()));
            }

            Volatile.Write(ref _policies, prepared.Policies);
        }
    }

    /// <summary>Closes retired images that nobody can point to any more.</summary>
    /// <param name="inUse">Sources of the default policies of live sessions.</param>
    public void CloseRetired(IReadOnlySet<PageSource> inUse)
    {
        lock (_changing)
        {
            for (int i = _retired.Count - 1; i >= 0; i--)
            {
                (PageSource source, long retiredAt) = _retired[i];
                if (_time.GetElapsedTime(retiredAt) < Retention || inUse.Contains(source))
                    continue;
                _retired.RemoveAt(i);
                source.Dispose();
            }
        }
    }

    public void Dispose()
    {
        lock (_changing)
        {
            foreach ((PageSource source, _) in _retired)
                source.Dispose();
            _retired.Clear();
            foreach (Entry entry in _policies.Values)
                (entry.Grant.Policy.Source as FileSource)?.Dispose();
            _policies = [];
        }
    }

    private static PolicyGrant Grant(string name, int version, PolicyOptions options, PageSource? file)
    {
        Policy policy = new()
        {
            Name = name,
            Version = version,
            Source = options.Source.Kind == PolicySourceKind.Zero ? ZeroSource.Instance : file,
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
            PrefetchOnRegister = options.PrefetchOnRegister,
        };
        return new PolicyGrant(policy, options.Source.Offset, options.RemoveMeansSource);
    }

    private static FileSource? TryOpen(string path, out FileStatus status, out string? problem)
    {
        status = default;
        try
        {
            SafeFile file = FileIo.Open(path, OpenFlags.ReadOnly | OpenFlags.NonBlock);
            status = FileIo.Stat(file);
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

    internal sealed record Entry(PolicyOptions Options, FileStatus File, PolicyGrant Grant)
    {
        public bool SameFile(FileStatus other) =>
            (File.Device, File.Inode, File.Size) == (other.Device, other.Inode, other.Size);
    }

    /// <summary>The policies of a configuration that is not in use yet.</summary>
    internal sealed class Prepared
    {
        public Dictionary<string, Entry> Policies { get; } = new(StringComparer.OrdinalIgnoreCase);

        public List<PageSource> Opened { get; } = [];

        /// <summary>Closes what was opened, when the configuration is not going to be used.</summary>
        public void Discard() => Opened.ForEach(source => source.Dispose());
    }
}
