using System.Diagnostics;
using Microsoft.Extensions.Logging;
using UffdManager.Daemon.FrontDoors;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Daemon.Images;
using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;

namespace UffdManager.Daemon.Supervision;

/// <summary>Takes the sessions of the manager before over: the engine serves them, and the front door knows them by their tokens again.</summary>
internal sealed partial class Restorer(
    FaultEngine engine,
    InheritedDescriptors inherited,
    SystemdDescriptorStore store,
    ServiceManager serviceManager,
    TenantCatalog tenants,
    PolicyCatalog policies,
    SourceCatalog sources,
    ImageRegistry registry,
    ImageCatalog images,
    SessionDirectory sessions,
    SnapshotSessions snapshots,
    RestoreResult result,
    ILogger<Restorer> logger)
{
    // A thousand sessions take a fraction of a second; what takes so much longer is a machine without memory or CPU time.
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);

    // So many lines are told of one kind; beyond that the number says it.
    private const int MaxLines = 20;

    private readonly List<string> _unreadable = [];
    private IReadOnlyCollection<string> _retired = [];

    /// <summary>Restores what came in. Before any front door opens, whose thread owns the directory of sessions afterwards.</summary>
    public async Task RestoreAsync()
    {
        IReadOnlyList<StoredDescriptor> stored = inherited.TakeStored();
        if (stored.Count == 0)
            return;
        serviceManager.ExtendTimeout(s_patience, $"Restoring sessions from {stored.Count} descriptors");
        long began = Stopwatch.GetTimestamp();
        using RestoreOwner owner = new(tenants, sources, registry, images);
        RestoreReport report = await engine.RestoreAsync(stored, owner);
        foreach (RestoredSession restored in report.Sessions)
            Enter(restored, owner);
        _retired = owner.Retired;
        result.Set(report, Stopwatch.GetElapsedTime(began));
    }

    /// <summary>Says in the log what came of it. Apart from the rest, because it takes longer than that.</summary>
    public void Tell()
    {
        inherited.TellProblemsTo(LogProblem);
        foreach (string problem in registry.Problems.Take(MaxLines))
            LogImageProblem(problem);
        foreach (string policy in policies.Missing.Take(MaxLines))
            LogMissing(policy);
        if (result.Report is not { } report)
            return;
        LogRestored(report.Sessions.Count, report.Gone, report.Failures.Count, report.Foreign, result.Duration.TotalMilliseconds);
        foreach (RestoreFailure failure in report.Failures)
            LogFailed(failure.SessionId, failure.Pid, failure.Reason, Fate(failure));
        foreach (string tenant in _retired.Take(MaxLines))
            LogRetired(tenant);
        foreach (string session in _unreadable.Take(MaxLines))
            LogUnreadable(session);
    }

    /// <summary>Closes what nobody took, and has the service manager forget it; when everybody has had the chance.</summary>
    public void CloseForeign()
    {
        IReadOnlyList<StoredDescriptor> foreign = inherited.TakeForeign();
        foreach ((int index, StoredDescriptor descriptor) in foreign.Index())
        {
            if (descriptor.Name != SystemdDescriptorStore.ProbeName && index < MaxLines)
                LogForeign(descriptor.Name, InheritedDescriptors.Describe(descriptor.Descriptor));
            descriptor.Descriptor.Dispose();
        }

        if (foreign.Count > MaxLines)
            LogMoreForeign(foreign.Count - MaxLines);
        foreach (string name in foreign.Select(descriptor => descriptor.Name).Distinct(StringComparer.Ordinal))
            store.Remove(name);
    }

    private void Enter(RestoredSession restored, RestoreOwner owner)
    {
        Session session = restored.Session;
        if (OwnerRecord.TryDecode(restored.OwnerRecord.Span) is not { } record)
        {
            // It is served all the same; its client cannot name it any more.
            _unreadable.Add(session.ToString());
            return;
        }

        if (record.Snapshot.Length > 0)
            snapshots.Add(record.Snapshot, session, record.SnapshotPeer);

        // A forked child that nobody has named yet: its client presents the token of its mailbox.
        if (!record.IsOf(session.Id, session.ParentId))
            return;
        PolicyGrant policy = new(session.DefaultPolicy, record.SourceOffset, record.RemoveMeansSource) { SourceIdentity = record.SourceIdentity };
        if (sessions.TryRestore(session, record.ResumeToken, tenants.GrantOf(session.Tenant.Name), policy) is not { } entry)
        {
            _unreadable.Add(session.ToString());
            return;
        }

        foreach (long id in record.Images)
        {
            if (owner.TryLease(id) is { } lease)
                entry.Images.Add(id, lease);
        }
    }

    private static string Fate(RestoreFailure failure) => failure switch
    {
        { Killed: true } => "the client was killed, because nobody can give it its contents any more; start it again",
        { Pid: 0 } => "no client is known; look for processes that hang in userfaultfd, and end them",
        _ => "the client is gone, or could not be killed; if it hangs, end it",
    };

    [LoggerMessage(1060, LogLevel.Information, "Sessions of the manager before: {Restored} restored, {Gone} gone, {Failed} failed, {Foreign} descriptors of none, {Milliseconds:0} ms")]
    private partial void LogRestored(int restored, int gone, int failed, int foreign, double milliseconds);

    [LoggerMessage(1061, LogLevel.Error, "Session {Session} of pid {Pid} could not be restored, {Reason}: {Fate}")]
    private partial void LogFailed(long session, int pid, string reason, string fate);

    [LoggerMessage(1062, LogLevel.Warning, "Tenant {Tenant} has restored sessions and is not in the configuration any more: they go on with the limits they had, new ones are not let in")]
    private partial void LogRetired(string tenant);

    [LoggerMessage(1063, LogLevel.Warning, "{Session} is restored, but what the daemon had recorded with it cannot be read: it is served, and its client cannot resume it")]
    private partial void LogUnreadable(string session);

    [LoggerMessage(1064, LogLevel.Warning, "Descriptor \"{Name}\" came in, {Kind}, and belongs to nothing that is known, closing it")]
    private partial void LogForeign(string name, string kind);

    [LoggerMessage(1065, LogLevel.Warning, "{Count} more descriptors that belong to nothing that is known were closed")]
    private partial void LogMoreForeign(int count);

    [LoggerMessage(1067, LogLevel.Warning, "Images: {Problem}, ignoring it")]
    private partial void LogImageProblem(string problem);

    [LoggerMessage(1068, LogLevel.Warning, "Starting without contents: {Policy}; whoever uses the policy meets its onUnavailable until the image is mended and the configuration reloaded")]
    private partial void LogMissing(string policy);

    [LoggerMessage(1066, LogLevel.Warning, "Descriptors that came in: {Problem}")]
    private partial void LogProblem(string problem);
}
