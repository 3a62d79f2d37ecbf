using UffdManager.Daemon.Configuration;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <content>How a socket comes into the world: kept first, found later.</content>
/// <remarks>
/// connect(2) and sendmsg(2) succeed as soon as a socket listens and is found, whether or not anybody accepts; and a VM whose message lies with a socket that nobody keeps waits for ever:
/// <code>
///   VM                    manager                          service manager
///                         bind and listen at PATH
///   connect, send: fine
///                         killed
///                                                          closes nothing, keeps nothing: the message is gone
///   waits for its first page, for ever
/// </code>
/// So the socket is made where nobody finds it:
/// <code>
///                         bind and listen at PATH.new
///                         FDSTORE document, listener  ---->
///                         BARRIER                     ---->
///                                                     &lt;----  has both
///                         rename PATH.new to PATH
///   connect, send: fine
///                         killed
///                                                          starts the next one with the listener: the message is in it
/// </code>
/// A manager that is killed before the rename leaves a file that no VM was told of, and perhaps a listener in the store whose file is not at PATH: its successor gives up both.
/// </remarks>
internal sealed partial class SnapshotLoop
{
    // Thousands of descriptors, or a reload of its own, may keep the service manager for a while.
    private static readonly TimeSpan s_keepPatience = TimeSpan.FromSeconds(10);

    private readonly Dictionary<string, Task> _opening = new(StringComparer.Ordinal);
    private Task<bool>? _barrier;
    private Task<bool>? _nextBarrier;

    // What cannot be opened stays to be seen, with its reason: the other snapshots, and all the sessions, do not depend on it.
    private Task Open(IReadOnlyCollection<SnapshotEntry> entries)
    {
        foreach (SnapshotEntry entry in entries)
            _entries[entry.Name] = entry;
        return Task.WhenAll(entries.GroupBy(entry => entry.Options.Socket.Path, StringComparer.Ordinal).Select(group => OpenAsync(group.Key, [.. group])));
    }

    // All that is to be served through a socket is there before anybody can connect.
    private async Task OpenAsync(string path, List<SnapshotEntry> entries)
    {
        if (_opening.ContainsKey(path))
        {
            await OpenedAsync(path);

            // Stopped, or taken out of the configuration, while they waited.
            entries.RemoveAll(entry => _entries.GetValueOrDefault(entry.Name) != entry);
        }

        if (entries.Count == 0)
            return;
        if (_sockets.TryGetValue(path, out SnapshotSocket? socket))
        {
            foreach (SnapshotEntry entry in Agreeing(entries, socket.Options, socket.Entries))
                Enter(entry, socket);
            socket.Record();
            return;
        }

        SnapshotSocketOptions options = entries[0].Options.Socket;
        List<SnapshotEntry> agreeing = Agreeing(entries, options, []);
        if (agreeing.Count == 0)
            return;
        try
        {
            await OpenSocketAsync(agreeing[0].Options.Tenant, options, agreeing);
        }
        catch (SyscallException e)
        {
            foreach (SnapshotEntry entry in agreeing)
                Fail(entry, $"{e.Message} ({SocketProblem.RemedyFor(e.Errno, options)})");
        }
    }

    private List<SnapshotEntry> Agreeing(List<SnapshotEntry> entries, SnapshotSocketOptions socket, List<SnapshotEntry> others)
    {
        List<SnapshotEntry> agreeing = [];
        foreach (SnapshotEntry entry in entries)
        {
            try
            {
                CheckProtocol(entry.Options.Socket);
                CheckClaims(entry.Options, socket, [.. others, .. agreeing]);
                agreeing.Add(entry);
            }
            catch (SnapshotException e)
            {
                Fail(entry, e.Message);
            }
        }

        return agreeing;
    }

    private void Fail(SnapshotEntry entry, string problem)
    {
        entry.Problem = problem;
        LogNotOpened(Services.Logger, entry.Name, entry.Options.Socket.Path, problem);
    }

    /// <summary>Makes a socket, has it kept, and only then lets it be found. The entries are in the table already; those that are taken out of it meanwhile are not served.</summary>
    /// <exception cref="SyscallException">It cannot be had; nothing is left of it.</exception>
    private async Task OpenSocketAsync(string tenant, SnapshotSocketOptions options, List<SnapshotEntry> entries)
    {
        SnapshotSocket opened;
        TaskCompletionSource over = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _opening.Add(options.Path, over.Task);
        try
        {
            (SafeSocketFd Listener, FileStatus File) made = await Blocking.RunAsync(tenant, () => SnapshotSocket.Make(options));
            SnapshotSocket socket = SnapshotSocket.Store(this, options, made, entries);
            try
            {
                if (!await IsKeptAsync())
                    LogNotRead(Services.Logger, options.Path);

                // Before anybody finds it: what could fail afterwards would take messages along.
                socket.Accept();
                await Blocking.RunAsync(tenant, () =>
                {
                    SnapshotSocket.Place(options, made.File);
                    return true;
                });
            }
            catch
            {
                // Somebody may have connected, if only by its first name. Who has is refused, as there is nothing for it any more.
                socket.Entries.Clear();
                _closing++;
                socket.Shut(() => _closing--);
                if (await Blocking.RunAsync(tenant, () => SnapshotSocket.RemoveMade(options, (made.File.Device, made.File.Inode))) is { } problem)
                    LogNotRemoved(options.Path, problem);
                throw;
            }

            opened = socket;
            Welcome(socket);
        }
        finally
        {
            _opening.Remove(options.Path);
            over.SetResult();
        }

        // All that it was made for has been stopped meanwhile.
        await CloseIfUnusedAsync(opened);
    }

    // One barrier for all that were stored before it is sent: a configuration has thousands of sockets. Who comes while one is under way waits for the next one.
    private Task<bool> IsKeptAsync() => _nextBarrier ??= PassBarrierAsync(_barrier);

    private async Task<bool> PassBarrierAsync(Task<bool>? former)
    {
        await Task.Yield();
        if (former is not null)
            await Task.WhenAny(former);
        (_barrier, _nextBarrier) = (_nextBarrier, null);
        return await Services.Store.SynchronizeAsync(s_keepPatience);
    }

    private void Welcome(SnapshotSocket socket)
    {
        if (_leaveSocket is not null)
        {
            _leaveSocket(socket);
            return;
        }

        _sockets.Add(socket.Options.Path, socket);
        if (socket.Entries.RemoveAll(entry => _entries.GetValueOrDefault(entry.Name) != entry) > 0)
            socket.Record();
        foreach (SnapshotEntry entry in socket.Entries)
            LogOpened(Services.Logger, entry.Name, entry.Options.Image, entry.Options.Tenant, socket.Options.Path);
    }

    // Until nobody is opening a socket there.
    private async Task OpenedAsync(string path)
    {
        while (_opening.TryGetValue(path, out Task? opening))
            await opening;
    }
}
