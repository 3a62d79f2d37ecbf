using UffdManager.Daemon.Configuration;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <content>What the manager before has left.</content>
internal sealed partial class SnapshotLoop
{
    // A file system that was asked for a name answers in less, or not at all.
    private static readonly TimeSpan s_lookPatience = TimeSpan.FromSeconds(2);

    /// <summary>Goes on with what an earlier manager left, and serves the configuration's snapshots; from any thread.</summary>
    /// <param name="inherited">Taken over.</param>
    /// <param name="snapshots">Those of the configuration.</param>
    /// <returns>Completes when all sockets are open that can be.</returns>
    public Task BeginAsync(InheritedSnapshots inherited, IReadOnlyDictionary<string, SnapshotOptions> snapshots) => InvokeAsync(async () =>
    {
        Task opened;
        _closing++;
        using (inherited)
        {
            HashSet<InheritedSnapshots.Socket> gone = await FindGoneAsync(inherited);
            List<(SnapshotSocket Socket, InheritedSnapshots.Socket Inherited)> sockets = Adopt(inherited, gone, out List<SnapshotEntry> homeless);

            // A name of the configuration is the configuration's.
            opened = Task.WhenAll(ApplyNowAsync(snapshots), Open([.. homeless.Where(entry => !_entries.ContainsKey(entry.Name))]));

            // Not before it is known what is served through each.
            foreach ((SnapshotSocket socket, InheritedSnapshots.Socket former) in sockets)
            {
                foreach ((long number, SafeSocketFd connection) in former.Peers)
                    Admit(socket, connection, number, isStored: true, former.Taken.Contains(number) ? FormerManager.HadTaken : FormerManager.HadAccepted);
                former.Peers.Clear();
                if (!_sockets.ContainsValue(socket))
                    continue;
                if (_leaveSocket is null)
                {
                    TryAccept(socket);
                    continue;
                }

                _sockets.Remove(socket.Options.Path);
                _leaveSocket(socket);
            }
        }

        _closing--;
        _begun.SetResult();
        await opened;
        return true;
    });

    // A file system that does not answer holds nobody up: what is in hand is gone on with.
    private async Task<HashSet<InheritedSnapshots.Socket>> FindGoneAsync(InheritedSnapshots inherited)
    {
        HashSet<InheritedSnapshots.Socket> gone = [];
        bool isOver = false;

        // The delay is the deadline alone.
        await Task.WhenAny(Task.WhenAll(inherited.Sockets.Where(socket => socket.Document?.Socket is not null).Select(LookAsync)), Task.Delay(s_lookPatience));
        isOver = true;
        return gone;

        async Task LookAsync(InheritedSnapshots.Socket socket)
        {
            SnapshotSocketDocument document = socket.Document!;
            if (await Blocking.RunAsync(document.Tenant, () => SnapshotSocket.IsInPlace(document)))
                return;
            bool isLate = isOver;
            if (!isLate)
                gone.Add(socket);

            // What its maker had not moved into its place.
            if (await Blocking.RunAsync(document.Tenant, () => SnapshotSocket.RemoveMade(document.Socket!, (document.Device, document.Inode))) is { } problem)
                LogNotRemoved(UnixSocket.NameBeside(document.Socket!.Path), problem);
            if (isLate)
                await MakeAnewAsync(document.Socket!.Path, socket.Number);
        }
    }

    // Nobody can connect to a socket that was gone on with before it was known that its file is gone.
    private async Task MakeAnewAsync(string path, long number)
    {
        await _begun.Task;
        if (_leaveBy != 0 || _sockets.GetValueOrDefault(path) is not { } socket || socket.Number != number)
            return;
        LogMadeAnew(path);

        // Who had connected to it is served.
        await Task.WhenAll(CloseAndFreeAsync(socket), OpenAsync(path, [.. socket.Entries]));
    }

    private void TryAccept(SnapshotSocket socket)
    {
        try
        {
            socket.Accept();
        }
        catch (SyscallException e)
        {
            AcceptFailed(e.Message);
            foreach (SnapshotEntry entry in socket.Entries)
                Fail(entry, e.Message);
        }
    }

    private List<(SnapshotSocket Socket, InheritedSnapshots.Socket Inherited)> Adopt(InheritedSnapshots inherited, HashSet<InheritedSnapshots.Socket> gone, out List<SnapshotEntry> homeless)
    {
        homeless = [];
        Keeper.Reserve(inherited.LastNumber);
        Keeper.Reserve(Services.Sessions.LastPeer);
        foreach (string problem in inherited.Problems)
            LogProblem(Services.Logger, problem);
        inherited.Orphans.ForEach(Services.Store.Remove);
        List<(SnapshotSocket Socket, InheritedSnapshots.Socket Inherited)> all = [];
        foreach (InheritedSnapshots.Socket former in inherited.Sockets)
        {
            SnapshotSocket? socket = former.Document?.Socket is { } options && !gone.Contains(former) && !_sockets.ContainsKey(options.Path) && Services.Decoders.Find(options.Protocol) is not null
                ? SnapshotSocket.TryAdopt(this, former)
                : null;
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
                // Its file is gone, or was never in its place, or nobody speaks its protocol any more: a new one is made at the same place, if that can be. Who had connected is refused.
                socket = SnapshotSocket.Gone(this, former);
                homeless.AddRange((former.Document?.Snapshots ?? new Dictionary<string, SnapshotOptions>()).Select(snapshot => new SnapshotEntry(snapshot.Key, snapshot.Value, isConfigured: false)));
                _closing++;
                socket.Shut(() => _closing--);
            }

            all.Add((socket, former));
        }

        return all;
    }
}
