using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.WorkingSets;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>Who asks for working sets, and stores that hang or fail.</summary>
public sealed class LibraryTests : IDisposable
{
    private readonly GatedStore _store = new();
    private readonly WorkingSetLibrary _library;

    public LibraryTests() => _library = new WorkingSetLibrary(_store);

    public void Dispose()
    {
        _store.Gate.Set();
        Assert.True(_library.WaitForRest(Eventually.DefaultDeadline));
        _store.Dispose();
    }

    [Fact]
    public void Looks_that_wait_for_a_store_are_one_look()
    {
        _store.Gate.Reset();
        Task<WorkingSetReading?>[] looks = [.. Enumerable.Range(0, 100).Select(_ => _library.LookAsync(Key(1), null))];
        Eventually.True(() => _store.Loads == 1, "the look at the store");
        Assert.All(looks, look => Assert.Same(looks[0], look));
        _store.Gate.Set();
        Assert.Equal(2, looks[0].Finish()!.KnownPages);

        // The next one looks anew.
        Assert.Equal(2, _library.LookAsync(Key(1), null).Finish()!.KnownPages);
        Assert.Equal(2, _store.Loads);
    }

    [Fact]
    public void Looks_make_nobody_go_who_is_in_use()
    {
        WorkingSet used = _library.Enter(Key(0), null);
        used.LookAsync().Finish();
        _library.Left(used);
        for (uint inode = 1; inode <= 300; inode++)
        {
            Assert.NotNull(_library.LookAsync(Key(inode), null).Finish());
            Assert.True(_library.ForgetAsync(Key(inode), null).Finish());
        }

        Assert.Equal(Key(0), Assert.Single(_library.Read()).Key);
        Assert.Same(used, _library.Enter(Key(0), null));
    }

    [Fact]
    public void Look_at_what_a_run_has_begun_to_use_meanwhile_leaves_it_to_the_run()
    {
        _store.Gate.Reset();
        Task<WorkingSetReading?> look = _library.LookAsync(Key(1), null);
        WorkingSet used = _library.Enter(Key(1), null);
        _store.Gate.Set();
        WorkingSetReading seen = look.Finish()!;
        Assert.Equal((2, 1), (seen.KnownPages, seen.LiveRuns));
        Assert.Same(used, _library.Enter(Key(1), null));
        Assert.Equal(2, _library.LookAsync(Key(1), null).Finish()!.LiveRuns);
    }

    [Fact]
    public void Work_that_fails_is_told_and_holds_up_nothing_else()
    {
        _store.Failure = new InvalidOperationException("a defect");
        Assert.IsType<InvalidOperationException>(Assert.Throws<AggregateException>(() => _library.LookAsync(Key(1), null).Finish()).GetBaseException());
        Eventually.True(() => _store.Failures == 1, "the failure");
        _store.Failure = null;
        Assert.Equal(2, _library.LookAsync(Key(2), null).Finish()!.KnownPages);
        Assert.True(_library.WaitForRest(Eventually.DefaultDeadline));
    }

    private static TraceKey Key(uint inode) => new("alice", new SourceIdentity(1, inode, 1 << 20, 3), PageSize.Base);

    // Knows two pages of everything, and answers when its gate is open.
    private sealed class GatedStore : ITraceStore, IDisposable
    {
        private int _loads;
        private int _failures;
        private volatile Exception? _failure;

        public ManualResetEventSlim Gate { get; } = new(initialState: true);

        public int Loads => Volatile.Read(ref _loads);

        public int Failures => Volatile.Read(ref _failures);

        public Exception? Failure
        {
            get => _failure;
            set => _failure = value;
        }

        public byte[]? TryLoad(in TraceKey key, string? source)
        {
            Interlocked.Increment(ref _loads);
            Gate.Wait();
            return _failure is { } failure ? throw failure : TraceCodec.Encode(key, new Trace { Entries = [new(1, 255, 0), new(5, 255, 0)], Runs = 1 });
        }

        public void Save(in TraceKey key, string? source, ReadOnlySpan<byte> trace)
        {
        }

        public bool Forget(in TraceKey key, string? source) => true;

        public void Rejected(in TraceKey key, string? source, string reason)
        {
        }

        public void Failed(in TraceKey key, string? source, Exception failure) => Interlocked.Increment(ref _failures);

        public void Dispose() => Gate.Dispose();
    }
}
