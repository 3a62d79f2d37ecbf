using UffdManager.Engine.Images;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Engine.Tests.Images;

/// <summary>What is done to find room where everything is in use: little, and not in vain.</summary>
public sealed class VictimSearchTests : ImageTest
{
    private const int Chunks = 4096;
    private const int PagesOfChunk = Chunk / PageBytes;

    // For the life of the test process.
    private static readonly nuint s_buffer = NativePages.Map(4 << 20);

    [Fact]
    public void Search_ends_after_as_many_looks_as_it_may_and_the_next_goes_on_from_there()
    {
        LayeredSource source = Pinned(CacheOf(Chunks));
        CacheAccount account = new("one", 1);
        for (int chunk = 0; chunk < Chunks; chunk++)
            account.Enter(new CachedChunk(source, chunk));
        int looks = 128;
        Assert.False(account.TryTakeVictim(ref looks, out _));
        Assert.Equal(0, looks);
        source.Store.Unpin(200, 1);
        looks = 128;
        Assert.True(account.TryTakeVictim(ref looks, out CachedChunk victim));
        Assert.Equal((200, 128 - 73), (victim.Chunk, looks));
        source.Store.EndEvict(200);
    }

    [Fact]
    public void Chunks_that_were_there_longer_are_given_up_where_all_newcomers_are_in_use()
    {
        LayeredSource source = Pinned(CacheOf(8));
        CacheAccount account = new("one", 1);
        account.Enter(new CachedChunk(source, 0));
        source.Store.Unpin(0, 1);

        // Wanted twice on its way to the end of the newcomers: it moves on.
        Assert.True(source.Store.TryPin(0, 1) && source.Store.TryPin(0, 1));
        source.Store.Unpin(0, 1);
        source.Store.Unpin(0, 1);
        int looks = 1;
        Assert.False(account.TryTakeVictim(ref looks, out _));
        for (int chunk = 1; chunk < 8; chunk++)
            account.Enter(new CachedChunk(source, chunk));
        looks = 128;
        Assert.True(account.TryTakeVictim(ref looks, out CachedChunk victim));
        Assert.Equal(0, victim.Chunk);
        source.Store.EndEvict(0);
    }

    [Fact]
    public void Reservation_where_everything_is_in_use_is_a_bypass_and_no_walk_over_the_cache()
    {
        ChunkCache cache = CacheOf(Chunks);
        Tenant tenant = new("one", 1, new TenantLimits { CacheBytes = long.MaxValue });
        LayeredSource source = Pinned(cache);
        for (int chunk = 0; chunk < Chunks; chunk++)
        {
            Assert.True(cache.TryReserve(tenant, mayEvict: true));
            cache.Enter(tenant, new CachedChunk(source, chunk));
        }

        Assert.False(cache.TryReserve(tenant, mayEvict: true));
        Assert.Equal(1, cache.Read().Bypasses);

        // The look went 128 chunks far, so the first ones are the last that are looked at again.
        source.Store.Unpin(0, 1);
        int failed = 0;
        while (!cache.TryReserve(tenant, mayEvict: true))
            failed++;
        Assert.Equal((Chunks / 128) - 1, failed);
        cache.Return(tenant);
    }

    [Fact]
    public void Batch_of_a_replay_keeps_no_small_piece_in_the_cache()
    {
        ChunkCache cache = CacheOf(2);
        LayeredSource source = Random(16 * PagesOfChunk, 1, cache, out byte[] expected, out _);
        Tenant tenant = new("one", 1, new TenantLimits { CacheBytes = long.MaxValue });
        ReplayBatch batch = new();
        batch.Clear(ReplayBatch.MaximumPieces);
        int[] pages = [.. Enumerable.Range(0, 15).Select(i => i * PagesOfChunk)];
        _ = ReadPage(source, pages[0], s_buffer);
        foreach (int page in pages)
            batch.Add(0, (long)page * PageBytes, 2 * PageBytes);
        Assert.Equal(Errno.OK, batch.Fetch(source, s_buffer, tenant));
        foreach ((int i, int page) in pages.Index())
        {
            SourcePages came = batch.PagesOf(i);
            Assert.Equal(2 * PageBytes, came.Length);
            ReadOnlySpan<byte> bytes = NativePages.AsSpan(came.Address, came.Length);
            Assert.Equal((expected[page], expected[page + 1]), (bytes[0], bytes[PageBytes]));
        }

        // Before anything of it is given back, the cache has its room again.
        Assert.Equal(0, cache.Read().Bypasses);
        Assert.Equal(expected[^1], ReadPage(source, expected.Length - 1, s_buffer + (1 << 20)));
        Assert.Equal(0, cache.Read().Bypasses);
        batch.Release(source);
    }

    // Chunks that are filled with nothing, and in use.
    private LayeredSource Pinned(ChunkCache cache)
    {
        LayeredSource source = Own(new LayeredSource([Open(WriteSparse((long)Chunks * Chunk, new Dictionary<long, byte> { [0] = 1 }))], PageBytes, cache, "image"));
        for (int chunk = 0; chunk < Chunks; chunk++)
        {
            Assert.True(source.Store.TryBeginFill(chunk));
            source.Store.EndFill(chunk, isFilled: true);
        }

        return source;
    }
}
