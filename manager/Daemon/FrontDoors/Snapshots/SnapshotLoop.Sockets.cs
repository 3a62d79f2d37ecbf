using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Tenancy;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <content>Which snapshots there are: those of the manager before, of the configuration, and those that are asked for.</content>
internal sealed partial class SnapshotLoop
{
    private readonly Dictionary<string, SnapshotSocket> _sockets = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SnapshotEntry> _entries = new(StringComparer.OrdinalIgnoreCase);
    private long _lastName;

    /// <summary>Goes on with what an earlier manager left, and serves the configuration's snapshots; from any thread.</summary>
    /// <param name="inherited">Taken over.</param>
    /// <param name="snapshots">Those of the configuration.</param>
    public Task BeginAsync(InheritedSnapshots inherited, IReadOnlyDictionary<string, SnapshotOptions> snapshots) => InvokeAsync(() =>
    {
        using (inherited)
        {
            List<(SnapshotSocket Socket, InheritedSnapshots.Socket Inherited)> sockets = Adopt(inherited);
            Apply(snapshots);
            foreach ((SnapshotSocket socket, InheritedSnapshots.Socket former) in sockets)
            {
                foreach ((long number, SafeSocketFd connection) in former.Peers)
                    Admit(socket, connection, number, isStored: true, isInherited: true);
                former.Peers.Clear();
            }
        }

        return Task.FromResult(true);
    });

    /// <summary>Serves these snapshots of the configuration and no others from now on; from any thread. VMs that came by another one go on, and so does what was made at run time.</summary>
    public Task ApplyAsync(IReadOnlyDictionary<string, SnapshotOptions> snapshots) => InvokeAsync(() =>
    {
        Apply(snapshots);
        return Task.FromResult(true);
    });

    /// <summary>All snapshots, by name; from any thread.</summary>
    public Task<IReadOnlyList<SnapshotView>> ViewAsync() => InvokeAsync(() =>
        Task.FromResult<IReadOnlyList<SnapshotView>>([.. _entries.Values.OrderBy(entry => entry.Name, StringComparer.OrdinalIgnoreCase).Select(entry => entry.View)]));

    /// <summary>Serves one more snapshot; from any thread.</summary>
    /// <param name="name">Its name; null for one that is free.</param>
    /// <param name="options">How.</param>
    /// <returns>The snapshot, and whether it is new: what is served already in exactly this way stays as it is.</returns>
    /// <exception cref="SnapshotException">It cannot be.</exception>
    public Task<(SnapshotView View, bool IsNew)> ServeAsync(string? name, SnapshotOptions options) => InvokeAsync(() => ServeNowAsync(name, options));

    /// <summary>Ends a snapshot that was made at run time; from any thread. Its VMs go on.</summary>
    /// <exception cref="SnapshotException">There is none, or the configuration has it.</exception>
    public Task<SnapshotView> StopServingAsync(string name) => InvokeAsync(() =>
    {
        if (!_entries.TryGetValue(name, out SnapshotEntry? entry))
            throw new SnapshotException(SnapshotException.Obstacle.NotFound, $"there is no snapshot \"{name}\"", "list them: there may be another one");
        if (entry.IsConfigured)
            throw new SnapshotException(SnapshotException.Obstacle.Conflict, $"snapshot {entry.Name} is one of the configuration", "take it out there, and have the configuration read again");
        Remove(entry);
        return Task.FromResult(entry.View);
    });

    private async Task<(SnapshotView View, bool IsNew)> ServeNowAsync(string? name, SnapshotOptions options)
    {
        ForgetGoneProcesses();
        if (CheckName(name, options) is { } same)
            return (same.View, false);
        CheckClaims(options);
        TenantGrant tenant = Services.Tenants.Find(options.Tenant)
            ?? throw new SnapshotException(SnapshotException.Obstacle.Request, $"there is no tenant \"{options.Tenant}\"", "name one of the section tenants of the configuration");
        SourceDecision image = await Blocking.RunAsync(tenant.Name, () => Services.Sources.OpenNamed(tenant, options.Image));
        if (!image.IsGranted)
            throw new SnapshotException(SnapshotException.Obstacle.Request, image.Refusal, "name a file below the tenant's sourceDirectories, or the name of an image that it may use");
        image.Lease.Dispose();
        if (!_sockets.ContainsKey(options.Socket.Path))
            await ListenAsync(tenant.Name, options.Socket);

        // Others were served meanwhile.
        if (CheckName(name, options) is { } meanwhile)
            return (meanwhile.View, false);
        CheckClaims(options);
        SnapshotEntry entry = new(name ?? NewName(), options, isConfigured: false);
        SnapshotSocket socket = _sockets[options.Socket.Path];
        Enter(entry, socket);
        socket.Record();
        return (entry.View, true);
    }

    private async Task ListenAsync(string tenant, SnapshotSocketOptions options)
    {
        try
        {
            (SafeSocketFd Listener, FileStatus File) made = await Blocking.RunAsync(tenant, () => SnapshotSocket.Listen(options));
            if (_leaveBy == 0)
            {
                _sockets.Add(options.Path, SnapshotSocket.Open(this, options, made));
                return;
            }

            made.Listener.Dispose();
            throw new SnapshotException(SnapshotException.Obstacle.Conflict, "the manager is stopping", "ask the next one");
        }
        catch (SyscallException e)
        {
            throw new SnapshotException(SnapshotException.Obstacle.Kernel, $"cannot listen on {options.Path}: {e.Message}", e.Errno switch
            {
                Errno.ENOENT => "make the directory first",
                Errno.EADDRINUSE => "somebody listens there: choose another path, or end that program",
                Errno.EEXIST => "something that is no socket is there, and is not removed: choose another path",
                _ => "the daemon must be able to write in the directory, and to give the socket to its owner",
            });
        }
    }

    private SnapshotEntry? CheckName(string? name, SnapshotOptions options)
    {
        if (name is null || !_entries.TryGetValue(name, out SnapshotEntry? entry))
            return null;
        return entry.IsSameAs(options) && entry.Problem is null
            ? entry
            : throw new SnapshotException(SnapshotException.Obstacle.Conflict, $"there is a snapshot {entry.Name} already, and it is another one", "choose another name, or stop that one first");
    }

    private void CheckClaims(SnapshotOptions options)
    {
        if (!_sockets.TryGetValue(options.Socket.Path, out SnapshotSocket? socket))
            return;
        if (socket.Options != options.Socket)
            throw new SnapshotException(SnapshotException.Obstacle.Conflict, $"the socket {options.Socket.Path} is there with another owner, mode or timeout", "give the same, or choose another path");
        foreach (SnapshotEntry other in socket.Entries)
        {
            if (other.Options.Match.Claims.Intersect(options.Match.Claims, StringComparer.Ordinal).FirstOrDefault() is { } claim)
                throw new SnapshotException(SnapshotException.Obstacle.Conflict, $"{claim} of that socket belongs to snapshot {other.Name} already", "say whom this one is for, or choose another socket");
        }
    }

    // Who serves each VM by its pid would leave a snapshot behind for each.
    private void ForgetGoneProcesses()
    {
        foreach (SnapshotEntry entry in _entries.Values.Where(entry => !entry.IsConfigured && entry.Attaching == 0 && IsForGoneProcesses(entry.Options.Match)).ToArray())
            Remove(entry);
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

    private List<(SnapshotSocket Socket, InheritedSnapshots.Socket Inherited)> Adopt(InheritedSnapshots inherited)
    {
        Keeper.Reserve(inherited.LastNumber);
        foreach (string problem in inherited.Problems)
            LogProblem(Services.Logger, problem);
        inherited.Orphans.ForEach(Services.Store.Remove);
        List<(SnapshotSocket Socket, InheritedSnapshots.Socket Inherited)> all = [];
        foreach (InheritedSnapshots.Socket former in inherited.Sockets)
        {
            SnapshotSocket? socket = former.Document?.Socket is { } options && !_sockets.ContainsKey(options.Path) ? SnapshotSocket.TryAdopt(this, former) : null;
            if (socket is not null)
            {
                _sockets.Add(socket.Options.Path, socket);
                foreach (SnapshotEntry entry in socket.Entries)
                {
                    _entries.TryAdd(entry.Name, entry);
                    LogAdopted(Services.Logger, entry.Name, entry.Options.Image, entry.Options.Tenant, socket.Options.Path);
                }
            }
            else
            {
                // Its file is gone: a new one is made at the same place, if that can be.
                Keeper.RemoveSocket(former.Number, former.DocumentVersion);
                foreach ((string name, SnapshotOptions snapshot) in former.Document?.Snapshots ?? new Dictionary<string, SnapshotOptions>())
                    Open(new SnapshotEntry(name, snapshot, isConfigured: false));
            }

            all.Add((socket ?? SnapshotSocket.Closed(this, former), former));
        }

        return all;
    }

    private void Apply(IReadOnlyDictionary<string, SnapshotOptions> snapshots)
    {
        if (_leaveBy != 0)
            return;

        // What could not be opened is tried again; a name of the configuration is the configuration's.
        foreach (SnapshotEntry entry in _entries.Values.ToArray())
        {
            bool isNamed = snapshots.TryGetValue(entry.Name, out SnapshotOptions? options);
            if (entry.IsConfigured ? !isNamed || entry.Problem is not null || !entry.IsSameAs(options!) : isNamed)
                Drop(entry);
        }

        // A socket stays if anything on it does: who connects meanwhile waits and is not refused.
        foreach (SnapshotSocket socket in _sockets.Values.Where(socket => !snapshots.Values.Any(options => options.Socket == socket.Options)).ToArray())
            CloseIfUnused(socket);
        foreach ((string name, SnapshotOptions options) in snapshots.Where(snapshot => !_entries.ContainsKey(snapshot.Key)))
            Open(new SnapshotEntry(name, options, isConfigured: true));
    }

    // What cannot be opened stays to be seen, with its reason: the other snapshots, and all the sessions, do not depend on it.
    private void Open(SnapshotEntry entry)
    {
        SnapshotSocketOptions options = entry.Options.Socket;
        try
        {
            CheckClaims(entry.Options);
            if (!_sockets.TryGetValue(options.Path, out SnapshotSocket? socket))
                _sockets.Add(options.Path, socket = SnapshotSocket.Open(this, options, SnapshotSocket.Listen(options)));
            Enter(entry, socket);
            if (!entry.IsConfigured)
                socket.Record();
        }
        catch (Exception e) when (e is SyscallException or SnapshotException)
        {
            entry.Problem = e.Message;
            _entries[entry.Name] = entry;
            LogNotOpened(Services.Logger, entry.Name, options.Path, e.Message);
        }
    }

    private void Enter(SnapshotEntry entry, SnapshotSocket socket)
    {
        socket.Entries.Add(entry);
        _entries[entry.Name] = entry;
        LogOpened(Services.Logger, entry.Name, entry.Options.Image, entry.Options.Tenant, socket.Options.Path);
    }

    private void Remove(SnapshotEntry entry)
    {
        if (Drop(entry) is { } socket)
            CloseIfUnused(socket);
    }

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

    private void CloseIfUnused(SnapshotSocket socket)
    {
        if (socket.Entries.Count > 0)
            return;
        _sockets.Remove(socket.Options.Path);
        socket.Close();
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
