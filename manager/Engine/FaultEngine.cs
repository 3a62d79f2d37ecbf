using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Threading.Channels;
using UffdManager.Engine.Fetch;
using UffdManager.Engine.Images;
using UffdManager.Engine.Loops;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;

namespace UffdManager.Engine;

/// <summary>
/// Serves the page faults of other processes. Any thread may call it; what concerns a session is carried out on the fault loop that owns
/// it. It never logs: it returns results and publishes <see cref="Events"/>.
/// </summary>
public sealed partial class FaultEngine : IDisposable
{
    // What the last sessions have shown is kept for later runs; nothing that is needed depends on it.
    private static readonly TimeSpan s_learningPatience = TimeSpan.FromSeconds(2);

    private readonly FaultLoop[] _loops;
    private readonly SessionRegistry _registry;
    private readonly Channel<EngineEvent> _events;
    private readonly EngineOptions _options;
    private readonly DescriptorKeeper _keeper;
    private long _lastGeneration;
    private bool _started;
    private bool _disposed;

    /// <summary>Makes an engine; <see cref="Start"/> sets it in motion.</summary>
    /// <exception cref="SyscallException">No descriptors or memory, or userfaultfd cannot be had at all.</exception>
    public FaultEngine(EngineOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.FaultLoops, 1, nameof(options));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.FaultLoops, 64, nameof(options));
        _options = options;
        ImageCache = options.ImageCache ?? new ChunkCache(ChunkCache.DefaultLimit);
        KernelFeatures = Userfaultfd.ProbeFeatures();
        Fetches = new FetchQueue(options.FetchThreads, options.FetchConcurrencyPerTenant);
        _loops = new FaultLoop[options.FaultLoops];
        for (int i = 0; i < _loops.Length; i++)
        {
            _loops[i] = new FaultLoop(this, i, options);
        }

        _registry = new SessionRegistry(_loops);
        _keeper = new DescriptorKeeper(options.DescriptorStore);
        WorkingSets = new WorkingSetLibrary(options.TraceStore);
        _events = Channel.CreateBounded<EngineEvent>(new BoundedChannelOptions(options.EventCapacity) { FullMode = BoundedChannelFullMode.DropOldest });
    }

    /// <summary>What this kernel knows.</summary>
    public UffdFeatures KernelFeatures { get; }

    /// <summary>What happened, for one reader; the oldest are dropped when nobody reads.</summary>
    public ChannelReader<EngineEvent> Events => _events.Reader;

    /// <summary>Fetches waiting for a thread at this moment.</summary>
    public int FetchQueueDepth => Fetches.Depth;

    /// <summary>Where chunks of layered images are kept.</summary>
    public ChunkCache ImageCache { get; }

    internal FetchQueue Fetches { get; }

    /// <summary>What earlier runs needed.</summary>
    internal WorkingSetLibrary WorkingSets { get; }

    /// <summary>Stores descriptors for the next manager.</summary>
    internal DescriptorKeeper Keeper => _keeper;

    internal long NextSessionId() => _registry.NextId();

    /// <summary>Starts the fault loops.</summary>
    public void Start()
    {
        if (_started)
        {
            return;
        }

        _started = true;
        foreach (FaultLoop loop in _loops)
        {
            loop.Start();
        }
    }

    /// <summary>All sessions at this moment, in no order.</summary>
    public IReadOnlyCollection<Session> Sessions() => [.. _registry.All];

    /// <summary>Completes when every fault loop has taken a turn: the proof that none is stuck.</summary>
    public Task PingAsync() => Task.WhenAll(_loops.Select(loop => RunAsync(loop, static _ => true)));

    /// <summary>
    /// Ends every session as gently as its client allows, and returns when all are over or the grace has passed.
    /// </summary>
    /// <param name="grace">How long to wait for killed clients to be gone.</param>
    /// <returns>Sessions that were still there at the end.</returns>
    public async Task<int> StopAsync(TimeSpan grace)
    {
        HashSet<long> told = [];
        long deadline = MonotonicClock.NowNanoseconds + (long)grace.TotalNanoseconds;
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(5));
        do
        {
            // Again and again: a client may fork until the moment at which it is let go.
            await Task.WhenAll(_registry.All.Where(session => told.Add(session.Id)).Select(session => EndAsync(session, EndMode.Stop))).ConfigureAwait(false);
            if (_registry.All.Count == 0)
            {
                return 0;
            }

            await timer.WaitForNextTickAsync().ConfigureAwait(false);
        }
        while (MonotonicClock.NowNanoseconds < deadline);

        return _registry.All.Count;
    }

    /// <summary>
    /// Stops the threads and closes everything. Sessions that <see cref="StopAsync"/> has not ended are dropped: the descriptors of clients
    /// without a keeper close with this process, and the kernel then fills their missing pages with zeros.
    /// </summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        foreach (FaultLoop loop in _loops)
        {
            loop.Dispose();
        }

        WorkingSets.WaitForRest(s_learningPatience);
        Fetches.Dispose();
        _events.Writer.TryComplete();
    }

    internal long NextGeneration() => Interlocked.Increment(ref _lastGeneration);

    internal void Publish(EngineEvent engineEvent) => _events.Writer.TryWrite(engineEvent);

    private static ulong NewToken()
    {
        Span<byte> bytes = stackalloc byte[8];
        ulong token;
        do
        {
            RandomNumberGenerator.Fill(bytes);
            token = BitConverter.ToUInt64(bytes);
        }
        while (token == 0);
        return token;
    }

    private static Task<T> RunAsync<T>(FaultLoop loop, Func<FaultLoop, T> work)
    {
        LoopCommand<T> command = new(work);
        loop.Post(command);
        return command.Task;
    }
}
