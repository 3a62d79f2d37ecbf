using UffdManager.Control;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Tests.Configuration;
using UffdManager.Daemon.WorkingSets;
using UffdManager.Engine;
using UffdManager.Engine.Sources;
using UffdManager.Engine.WorkingSets;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.WorkingSets;

/// <summary>What operators are told of working sets while the store of a tenant hangs.</summary>
public sealed class WorkingSetBooksTests : IDisposable
{
    private static readonly SourceIdentity s_source = new(1, 2, 1 << 20, 3);

    private readonly SilentStore _store = new();
    private readonly FaultEngine _engine;
    private readonly ConfigurationInUse _inUse;
    private readonly WorkingSetBooks _books;

    public WorkingSetBooksTests()
    {
        _engine = new FaultEngine(new EngineOptions { FaultLoops = 1, TraceStore = _store });
        _inUse = new ConfigurationInUse(Layers.Load(Layers.Minimal, """{ "tenants": { "silent": { "match": { "uids": [7] }, "defaultPolicy": "zero" } } }"""), TimeProvider.System);
        _books = new WorkingSetBooks(_engine, _inUse) { Patience = TimeSpan.FromMilliseconds(50) };
    }

    public void Dispose()
    {
        _store.Gate.Set();
        _engine.Dispose();
        _store.Dispose();
    }

    [Fact]
    public async Task Tenant_whose_store_is_silent_is_named_and_others_are_told_of()
    {
        using CancellationTokenSource deadline = new(Eventually.DefaultDeadline);
        WorkingSetListDto all;
        int asked = 0;
        do
        {
            // Under load the others may be late as well.
            all = await _books.OfAsync(s_source, null, tenant: null, deadline.Token);
            Assert.Contains("silent", all.Problem, StringComparison.Ordinal);
        }
        while (++asked < 20 || all.Problem!.Contains("everybody", StringComparison.Ordinal));
        Assert.Contains("for tenant silent does not answer", all.Problem, StringComparison.Ordinal);

        // However often one asks: one of the two page sizes is looked for, the other one waits behind it.
        Eventually.True(() => _store.Held > 0, "a look at the silent store");
        Assert.Equal(1, _store.Held);
        (_, string? problem) = await _books.ForgetAsync(s_source, null, "silent", deadline.Token);
        Assert.Contains("tenant silent does not answer, and forgets when it does", problem, StringComparison.Ordinal);
        WorkingSetBooks patient = new(_engine, _inUse) { Patience = Eventually.DefaultDeadline };
        Assert.Null((await patient.OfAsync(s_source, null, "everybody", deadline.Token)).Problem);
        Assert.Equal((2, null), await patient.ForgetAsync(s_source, null, "everybody", deadline.Token));

        _store.Gate.Set();
        Assert.Null((await patient.OfAsync(s_source, null, "silent", deadline.Token)).Problem);
        Assert.Equal(2, _store.Forgotten("silent"));
        Assert.InRange(_store.Loaded("silent"), 2, 4);
    }

    private sealed class SilentStore : ITraceStore, IDisposable
    {
        private readonly Lock _lock = new();
        private readonly List<string> _loaded = [];
        private readonly List<string> _forgotten = [];
        private int _held;

        public ManualResetEventSlim Gate { get; } = new();

        public int Held => Volatile.Read(ref _held);

        public int Loaded(string tenant)
        {
            lock (_lock)
                return _loaded.Count(name => name == tenant);
        }

        public int Forgotten(string tenant)
        {
            lock (_lock)
                return _forgotten.Count(name => name == tenant);
        }

        public byte[]? TryLoad(in TraceKey key, string? source)
        {
            lock (_lock)
                _loaded.Add(key.Tenant);
            Wait(key);
            return null;
        }

        public void Save(in TraceKey key, string? source, ReadOnlySpan<byte> trace)
        {
        }

        public bool Forget(in TraceKey key, string? source)
        {
            Wait(key);
            lock (_lock)
                _forgotten.Add(key.Tenant);
            return true;
        }

        public void Rejected(in TraceKey key, string? source, string reason)
        {
        }

        public void Failed(in TraceKey key, string? source, Exception failure)
        {
        }

        public void Dispose() => Gate.Dispose();

        private void Wait(in TraceKey key)
        {
            if (key.Tenant != "silent")
                return;
            Interlocked.Increment(ref _held);
            Gate.Wait();
        }
    }
}
