using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Tenancy;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <content>Which snapshots there are: those of the configuration, and those that are asked for.</content>
internal sealed partial class SnapshotLoop
{
    private readonly Dictionary<string, SnapshotSocket> _sockets = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SnapshotEntry> _entries = new(StringComparer.OrdinalIgnoreCase);
    private readonly TaskCompletionSource _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _lastName;

    /// <summary>Serves these snapshots of the configuration and no others from now on; from any thread. VMs that came by another one go on, and so does what was made at run time.</summary>
    /// <returns>Completes when all sockets are open that can be.</returns>
    public Task ApplyAsync(IReadOnlyDictionary<string, SnapshotOptions> snapshots) => InvokeAsync(async () =>
    {
        await _begun.Task;
        await ApplyNowAsync(snapshots);
        return true;
    });

    /// <summary>All snapshots, by name; from any thread.</summary>
    public Task<IReadOnlyList<SnapshotView>> ViewAsync() => InvokeAsync(() =>
        Task.FromResult<IReadOnlyList<SnapshotView>>([.. _entries.Values.OrderBy(entry => entry.Name, StringComparer.OrdinalIgnoreCase).Select(entry => entry.View)]));

    /// <summary>Serves one more snapshot; from any thread.</summary>
    /// <param name="name">Its name; null for one that is free.</param>
    /// <param name="options">How.</param>
    /// <returns>The snapshot, and whether it is new: what is served already in exactly this way stays as it is.</returns>
    /// <exception cref="SnapshotException">It cannot be.</exception>
    public Task<(SnapshotView View, bool IsNew)> ServeAsync(string? name, SnapshotOptions options) => InvokeAsync(async () =>
    {
        await _begun.Task;
        return await ServeNowAsync(name, options);
    });

    /// <summary>Ends a snapshot that was made at run time; from any thread. Its VMs go on.</summary>
    /// <exception cref="SnapshotException">There is none, or the configuration has it.</exception>
    public Task<SnapshotView> StopServingAsync(string name) => InvokeAsync(async () =>
    {
        await _begun.Task;
        if (!_entries.TryGetValue(name, out SnapshotEntry? entry))
            throw new SnapshotException(SnapshotException.Obstacle.NotFound, $"there is no snapshot \"{name}\"", "list them: there may be another one");
        if (entry.IsConfigured)
            throw new SnapshotException(SnapshotException.Obstacle.Conflict, $"snapshot {entry.Name} is one of the configuration", "take it out there, and have the configuration read again");
        await RemoveAsync(entry);
        return entry.View;
    });

    private async Task<(SnapshotView View, bool IsNew)> ServeNowAsync(string? name, SnapshotOptions options)
    {
        ForgetGoneProcesses();
        CheckProtocol(options.Socket);
        await OpenedAsync(options.Socket.Path);
        if (CheckName(name, options) is { } same)
            return (same.View, false);
        CheckClaims(options);
        TenantGrant tenant = Services.Tenants.Find(options.Tenant)
            ?? throw new SnapshotException(SnapshotException.Obstacle.Request, $"there is no tenant \"{options.Tenant}\"", "name one of the section tenants of the configuration");
        SourceDecision image = await Blocking.RunAsync(tenant.Name, () => Services.Sources.OpenNamed(tenant, options.Image));
        if (!image.IsGranted)
            throw new SnapshotException(SnapshotException.Obstacle.Request, image.Refusal, "name a file below the tenant's sourceDirectories, or the name of an image that it may use");
        image.Lease.Dispose();

        // Others were served meanwhile, perhaps through this socket.
        await OpenedAsync(options.Socket.Path);
        if (CheckName(name, options) is { } meanwhile)
            return (meanwhile.View, false);
        CheckClaims(options);
        SnapshotEntry entry = new(name ?? NewName(), options, isConfigured: false);
        if (_sockets.TryGetValue(options.Socket.Path, out SnapshotSocket? socket))
        {
            Enter(entry, socket);
            socket.Record();
        }
        else
        {
            await OpenForAsync(tenant.Name, entry);
        }

        return (entry.View, true);
    }

    private async Task OpenForAsync(string tenant, SnapshotEntry entry)
    {
        SnapshotSocketOptions options = entry.Options.Socket;
        if (_leaveBy != 0)
            throw new SnapshotException(SnapshotException.Obstacle.Conflict, "the manager is stopping", "ask the next one");
        _entries.Add(entry.Name, entry);
        try
        {
            await OpenSocketAsync(tenant, options, [entry]);
        }
        catch (SyscallException e)
        {
            if (_entries.GetValueOrDefault(entry.Name) == entry)
                _entries.Remove(entry.Name);
            throw new SnapshotException(SnapshotException.Obstacle.Kernel, $"cannot listen on {options.Path}: {e.Message}", SocketProblem.RemedyFor(e.Errno, options));
        }

        if (_entries.GetValueOrDefault(entry.Name) != entry)
            throw new SnapshotException(SnapshotException.Obstacle.Conflict, $"snapshot {entry.Name} was stopped before it was served", "serve it again");
    }

    private SnapshotEntry? CheckName(string? name, SnapshotOptions options)
    {
        if (name is null || !_entries.TryGetValue(name, out SnapshotEntry? entry))
            return null;
        return entry.IsSameAs(options) && entry.Problem is null
            ? entry
            : throw new SnapshotException(SnapshotException.Obstacle.Conflict, $"there is a snapshot {entry.Name} already, and it is another one", "choose another name, or stop that one first");
    }

    // Asked for by name, it has been looked at before; an earlier manager may have known more of them.
    private void CheckProtocol(SnapshotSocketOptions socket)
    {
        if (Services.Decoders.Find(socket.Protocol) != socket.Protocol)
            throw new SnapshotException(SnapshotException.Obstacle.Request, $"the protocol \"{socket.Protocol}\" is not known; known are: {string.Join(", ", Services.Decoders.Names)}", "name one of them");
    }

    private void CheckClaims(SnapshotOptions options)
    {
        if (_sockets.TryGetValue(options.Socket.Path, out SnapshotSocket? socket))
            CheckClaims(options, socket.Options, socket.Entries);
    }

    private static void CheckClaims(SnapshotOptions options, SnapshotSocketOptions socket, IEnumerable<SnapshotEntry> entries)
    {
        if (socket != options.Socket)
            throw new SnapshotException(SnapshotException.Obstacle.Conflict, $"the socket {options.Socket.Path} is there with another protocol, owner, mode or timeout", "give the same, or choose another path");
        foreach (SnapshotEntry other in entries)
        {
            if (other.Options.Match.Claims.Intersect(options.Match.Claims, StringComparer.Ordinal).FirstOrDefault() is { } claim)
                throw new SnapshotException(SnapshotException.Obstacle.Conflict, $"{claim} of that socket belongs to snapshot {other.Name} already", "say whom this one is for, or choose another socket");
        }
    }

    // Who serves each VM by its pid would leave a snapshot behind for each.
    private void ForgetGoneProcesses()
    {
        foreach (SnapshotEntry entry in _entries.Values.Where(entry => !entry.IsConfigured && entry.Attaching == 0 && IsForGoneProcesses(entry.Options.Match)).ToArray())
            _ = RemoveAsync(entry);
    }

    private static bool IsForGoneProcesses(SnapshotMatchOptions match) =>
        match.Processes.Count > 0 && match.Uids.Count == 0 && match.Cgroups.Count == 0
        && match.Processes.All(process => !ProcessInfo.TryReadStartTime(process.Pid, out ulong startTime) || startTime != process.StartTime);

    private string NewName()
    {
        string name;
        do
            name = $"snapshot-{++_lastName}";
        while (_entries.ContainsKey(name));
        return name;
    }

    // Decides at once, and opens what is new in its time.
    private async Task ApplyNowAsync(IReadOnlyDictionary<string, SnapshotOptions> snapshots)
    {
        if (_leaveBy != 0)
            return;

        // What could not be opened is tried again; a name of the configuration is the configuration's.
        Dictionary<string, SnapshotEntry> former = new(StringComparer.OrdinalIgnoreCase);
        foreach (SnapshotEntry entry in _entries.Values.ToArray())
        {
            bool isNamed = snapshots.TryGetValue(entry.Name, out SnapshotOptions? options);
            if (entry.IsConfigured ? !isNamed || entry.Problem is not null || !entry.IsSameAs(options!) : isNamed)
            {
                former.Add(entry.Name, entry);
                Drop(entry);
            }
        }

        // A socket stays if anything on it does: who connects meanwhile waits and is not refused.
        List<Task> changes = [.. _sockets.Values.Where(socket => !snapshots.Values.Any(options => options.Socket == socket.Options)).ToArray().Select(CloseIfUnusedAsync)];
        changes.Add(Open([.. snapshots.Where(snapshot => !_entries.ContainsKey(snapshot.Key))
            .Select(snapshot => new SnapshotEntry(snapshot.Key, snapshot.Value, isConfigured: true, former.GetValueOrDefault(snapshot.Key)))]));
        await Task.WhenAll(changes);
    }

    private void Enter(SnapshotEntry entry, SnapshotSocket socket)
    {
        socket.Entries.Add(entry);
        _entries[entry.Name] = entry;
        LogOpened(Services.Logger, entry.Name, entry.Options.Image, entry.Options.Tenant, socket.Options.Path);
    }

    private Task RemoveAsync(SnapshotEntry entry) => Drop(entry) is { } socket ? CloseIfUnusedAsync(socket) : Task.CompletedTask;

    private SnapshotSocket? Drop(SnapshotEntry entry)
    {
        _entries.Remove(entry.Name);
        if (!_sockets.TryGetValue(entry.Options.Socket.Path, out SnapshotSocket? socket) || !socket.Entries.Remove(entry))
            return null;
        if (!entry.IsConfigured)
            socket.Record();
        LogRemoved(Services.Logger, entry.Name, entry.Options.Socket.Path);
        return socket;
    }

    private Task CloseIfUnusedAsync(SnapshotSocket socket) =>
        socket.Entries.Count > 0 || _sockets.GetValueOrDefault(socket.Options.Path) != socket ? Task.CompletedTask : CloseAndFreeAsync(socket);

    private async Task CloseAndFreeAsync(SnapshotSocket socket)
    {
        string path = socket.Options.Path;
        _sockets.Remove(path);

        // Who wants another one there waits until the file of this one is gone.
        TaskCompletionSource over = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _opening.Add(path, over.Task);
        try
        {
            await CloseAsync(socket);
        }
        finally
        {
            _opening.Remove(path);
            over.SetResult();
        }
    }

    private Task<T> InvokeAsync<T>(Func<Task<T>> work)
    {
        TaskCompletionSource<T> done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() => _ = RunAsync());
        return done.Task;

        async Task RunAsync()
        {
            try
            {
                done.SetResult(await work());
            }
#pragma warning disable CA1031 // Who asked is told.
            catch (Exception e)
#pragma warning restore CA1031
            {
                done.SetException(e);
            }
        }
    }
}
