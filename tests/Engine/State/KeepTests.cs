using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.State;

/// <summary>Two fault loops come with the first region of one source at the same moment.</summary>
public sealed class KeepTests : EngineTest
{
    [Fact]
    public void Source_that_two_loops_store_at_once_is_stored_once()
    {
        using GatedStore store = new();
        DescriptorKeeper keeper = new(store);
        using FileSource source = RandomFile((long)Page, 1, out _);
        Thread first = Start(() => source.Keep(keeper));
        Eventually.True(() => store.Stored == 1, "the first to store it");
        Thread second = Start(() => source.Keep(keeper));
        Eventually.True(() => store.Stored == 2 || (second.ThreadState & ThreadState.WaitSleepJoin) != 0, "the second to come");
        store.Open();
        Assert.True(first.Join(Eventually.DefaultDeadline) && second.Join(Eventually.DefaultDeadline));
        Assert.Equal((1, 0), (store.Stored, store.Removed));
        Assert.NotEqual(0, source.StoreId);
    }

    private static Thread Start(Action action)
    {
        Thread thread = new(() => action());
        thread.Start();
        return thread;
    }

    /// <summary>A store whose caller does not come back before it is told to.</summary>
    private sealed class GatedStore : IDescriptorStore, IDisposable
    {
        private readonly ManualResetEventSlim _gate = new();
        private int _stored;
        private int _removed;

        public int Stored => Volatile.Read(ref _stored);

        public int Removed => Volatile.Read(ref _removed);

        public bool IsKept => true;

        public bool IsPrompt => true;

        public bool IsSettled => true;

        public void Open() => _gate.Set();

        public bool TryStore(string name, ReadOnlySpan<SafeFd> descriptors)
        {
            Interlocked.Increment(ref _stored);
            return _gate.Wait(Eventually.DefaultDeadline);
        }

        public void Remove(string name) => Interlocked.Increment(ref _removed);

        public Task SettleAsync() => Task.CompletedTask;

        public Task<bool> SynchronizeAsync(TimeSpan patience) => Task.FromResult(true);

        public void Dispose() => _gate.Dispose();
    }
}
