using System.Globalization;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Daemon.Supervision;

/// <summary>
/// The descriptor store of the service manager, systemd or uffd-supervise. Messages that bring descriptors are on their way when a call returns: what lies
/// in the service manager's socket is kept even if this process is killed in the next moment.
/// </summary>
/// <remarks>
/// That a service manager speaks the protocol does not say that it keeps anything: systemd drops descriptors silently unless the unit has
/// FileDescriptorStoreMax=. So it is tried once, by <see cref="ProbeAsync"/>; until the answer is there, the store is taken for one
/// that keeps only if it has returned something to this process.
/// </remarks>
internal sealed class SystemdDescriptorStore : IDescriptorStore
{
    /// <summary>The name under which the store is tried; never kept for long.</summary>
    public const string ProbeName = "probe";

    // A service manager that is busy for longer (a reload with thousands of descriptors) must not keep a client from its answer for good.
    private static readonly TimeSpan s_settlePatience = TimeSpan.FromSeconds(10);

    private readonly NotifySocket _socket;
    private readonly int _capacity;
    private readonly Lock _gate = new();
    private readonly Dictionary<string, int> _held = new(StringComparer.Ordinal);
    private Task<StoreState>? _probe;
    private int _heldCount;
    private long _storedSets;
    private long _refusedSets;
    private int _state;

    /// <summary>Makes the store.</summary>
    /// <param name="socket">The way to the service manager.</param>
    /// <param name="capacity">Descriptors that it keeps at most, as text ($FDSTORE, since systemd 254); null when it does not say.</param>
    /// <param name="inherited">Names of descriptors that it kept for this process.</param>
    public SystemdDescriptorStore(NotifySocket socket, string? capacity, IEnumerable<string> inherited)
    {
        _socket = socket;
        _capacity = int.TryParse(capacity, NumberStyles.None, CultureInfo.InvariantCulture, out int most) ? most : int.MaxValue;
        foreach (string name in inherited)
            Count(name, 1);

        // A listening socket may come from elsewhere, what the engine stored only from the store.
        bool hasKept = _held.Keys.Any(InheritedDescriptors.IsOfEngine);
        _state = (int)(!socket.IsOpen || _capacity == 0 ? StoreState.Absent : hasKept ? StoreState.Keeps : StoreState.Unknown);
    }

    /// <summary>What is known of it.</summary>
    public StoreState State => _socket.IsLost ? StoreState.Absent : (StoreState)Volatile.Read(ref _state);

    /// <inheritdoc/>
    public bool IsKept => State == StoreState.Keeps;

    /// <summary>Sets of descriptors that were sent to the store since the start.</summary>
    public long StoredSets => Interlocked.Read(ref _storedSets);

    /// <summary>Sets of descriptors that could not be stored since the start.</summary>
    public long RefusedSets => Interlocked.Read(ref _refusedSets);

    /// <summary>Descriptors that the store holds, by what was sent to it.</summary>
    public int Descriptors
    {
        get
        {
            lock (_gate)
                return _heldCount;
        }
    }

    /// <inheritdoc/>
    public bool IsPrompt => State == StoreState.Absent || _socket.IsPrompt;

    /// <inheritdoc/>
    public bool IsSettled => State == StoreState.Absent || _socket.IsSettled;

    /// <inheritdoc/>
    public bool TryStore(string name, ReadOnlySpan<SafeFd> descriptors)
    {
        if (State == StoreState.Absent)
            return false;
        bool isStored = Fits(descriptors.Length);
        for (int at = 0; isStored && at < descriptors.Length; at += UnixSocket.MaxDescriptors)
        {
            ReadOnlySpan<SafeFd> some = descriptors[at..Math.Min(at + UnixSocket.MaxDescriptors, descriptors.Length)];

            // FDPOLL=0: a pidfd is readable once its process is gone, and a userfaultfd that may block polls as an error. Both are still wanted.
            isStored = _socket.Send($"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", some) != NotifyOutcome.Refused;
            if (isStored)
                Count(name, some.Length);
        }

        Interlocked.Increment(ref isStored ? ref _storedSets : ref _refusedSets);
        return isStored;
    }

    /// <inheritdoc/>
    public void Remove(string name)
    {
        if (State == StoreState.Absent)
            return;
        lock (_gate)
        {
            if (_held.Remove(name, out int count))
                _heldCount -= count;
        }

        // Never refused for lack of room: what stays in the store by mistake would come back as a session that is over.
        _socket.Send($"FDSTOREREMOVE=1\nFDNAME={name}", isVital: true);
    }

    /// <inheritdoc/>
    public Task SettleAsync() => State == StoreState.Absent ? Task.CompletedTask : _socket.FlushAsync(s_settlePatience);

    /// <summary>
    /// Finds out whether the store keeps anything: gives it one end of a pair of sockets, waits until it has read that, and looks whether
    /// the end is still open anywhere.
    /// </summary>
    /// <param name="patience">How long the service manager may take to read.</param>
    /// <returns>What is known afterwards. Asked again, the same.</returns>
    public Task<StoreState> ProbeAsync(TimeSpan patience)
    {
        lock (_gate)
        {
            return _probe ??= State == StoreState.Absent
                ? Task.FromResult(StoreState.Absent)
                : Task.Factory.StartNew(() => Probe(patience), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }
    }

    /// <summary>What is known of the store once the service manager has answered, or has not for a while.</summary>
    public async Task<StoreState> KnownAsync(TimeSpan patience)
    {
        // The delay is the deadline alone.
        await Task.WhenAny(ProbeAsync(patience), Task.Delay(patience));
        return State;
    }

    /// <inheritdoc/>
    public Task<bool> SynchronizeAsync(TimeSpan patience) => State == StoreState.Absent
        ? Task.FromResult(true)
        : Task.Factory.StartNew(() => PassBarrier(patience), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    /// <summary>Gives up everything that was ever stored: the end of a manager that nobody follows.</summary>
    public void RemoveAll()
    {
        string[] names;
        lock (_gate)
            names = [.. _held.Keys];
        foreach (string name in names)
            Remove(name);
    }

    private StoreState Probe(TimeSpan patience)
    {
        (SafeSocketFd watched, SafeSocketFd stored) = UnixSocket.Pair(UnixSocketType.Stream);
        using (watched)
        {
            _socket.Send($"FDSTORE=1\nFDNAME={ProbeName}\nFDPOLL=0", [stored], isVital: true);
            stored.Dispose();
            bool isProcessed = PassBarrier(patience);
            using FdLease lease = watched.Lease();
            bool isClosed = FdPoll.WaitReadable(lease, TimeSpan.Zero);
            _socket.Send($"FDSTOREREMOVE=1\nFDNAME={ProbeName}", isVital: true);
            if (!isProcessed)
            {
                // Busy, which says nothing: what is known stays so, and whoever asks next asks anew.
                lock (_gate)
                    _probe = null;
                return State;
            }

            StoreState state = isClosed ? StoreState.Absent : StoreState.Keeps;
            Volatile.Write(ref _state, (int)state);
            return state;
        }
    }

    // The service manager closes the descriptor that comes with a barrier when it has processed all that was sent before.
    private bool PassBarrier(TimeSpan patience)
    {
        (SafeSocketFd kept, SafeSocketFd passed) = UnixSocket.Pair(UnixSocketType.Stream);
        using (kept)
        {
            NotifyOutcome outcome = _socket.Send("BARRIER=1", [passed], isVital: true);
            passed.Dispose();
            using FdLease lease = kept.Lease();
            return outcome != NotifyOutcome.Refused && FdPoll.WaitReadable(lease, patience);
        }
    }

    private bool Fits(int count)
    {
        lock (_gate)
            return _heldCount <= _capacity - count;
    }

    private void Count(string name, int count)
    {
        lock (_gate)
        {
            _held[name] = _held.GetValueOrDefault(name) + count;
            _heldCount += count;
        }
    }
}
