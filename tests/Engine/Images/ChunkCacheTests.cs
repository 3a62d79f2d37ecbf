using UffdManager.Engine.Images;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Engine.Tests.Images;

/// <summary>What stays in memory, who pays for it, and that nobody reads what is being given up.</summary>
public sealed class ChunkCacheTests : ImageTest
{
    private const int PagesOfChunk = Chunk / PageBytes;

    // For the life of the test process: a few pages of it are ever touched.
    private static readonly nuint s_buffer = NativePages.Map(4 << 20);

    [Fact]
    public void Chunk_is_read_once_for_all_its_pages()
    {
        LayeredSource source = Random(4 * PagesOfChunk, 1, CacheOf(8), out byte[] expected, out ScriptedLayer layer);
        for (int page = 0; page < expected.Length; page++)
            Assert.Equal(expected[page], ReadPage(source, page, s_buffer));
        Assert.Equal((4, 4L * Chunk, 4L * Chunk), (layer.Reads, layer.Bytes, source.CachedBytes()));
        Assert.Equal(expected.Length - 4, source.Hits);
    }

    [Fact]
    public void Large_range_is_read_at_once_and_lies_in_one_piece()
    {
        LayeredSource source = Random(8 * PagesOfChunk, 1, CacheOf(8), out byte[] expected, out ScriptedLayer layer);
        Assert.Equal(Errno.OK, source.Fetch(PageBytes, 8 * Chunk, s_buffer, out SourcePages pages));
        Assert.Equal(1, layer.Reads);
        Assert.Equal((8 * Chunk) - PageBytes, pages.Length);
        Assert.Equal(expected.Skip(1), Enumerable.Range(0, expected.Length - 1).Select(page => NativePages.At<byte>(pages.Address + ((nuint)page * PageBytes))));
        source.Release(in pages);
    }

    [Fact]
    public void Reads_at_the_same_time_are_one_read()
    {
        LayeredSource source = Random(PagesOfChunk, 1, CacheOf(8), out byte[] expected, out ScriptedLayer layer);
        layer.Hold();
        Thread[] threads = [.. Enumerable.Range(0, 8).Select(i => new Thread(() => Assert.Equal(expected[i], ReadPage(source, i, s_buffer + ((nuint)i * PageBytes)))))];
        foreach (Thread thread in threads)
            thread.Start();
        layer.WaitForReads(1);
        TestSupport.Eventually.True(() => threads.Count(thread => (thread.ThreadState & ThreadState.WaitSleepJoin) != 0) == 8, "all to wait");
        layer.Release();
        foreach (Thread thread in threads)
            thread.Join();
        Assert.Equal(1, layer.Reads);
    }

    [Fact]
    public void Failure_is_told_to_each_and_the_next_attempt_reads_again()
    {
        ChunkCache cache = CacheOf(8);
        LayeredSource source = Random(2 * PagesOfChunk, 1, cache, out byte[] expected, out ScriptedLayer layer);

        // Of a page its chunk is tried, and then itself.
        layer.FailNext(3);
        Assert.Equal(Errno.EIO, source.Fetch(0, PageBytes, s_buffer, out _));
        Assert.Equal(Errno.EIO, source.Fetch(0, 2 * Chunk, s_buffer, out _));
        Assert.Equal(0, source.CachedBytes());
        Assert.Equal(0, cache.Read().Bytes);
        Assert.Equal(expected[0], ReadPage(source, 0, s_buffer));
    }

    [Fact]
    public void Page_in_use_is_never_given_up()
    {
        ChunkCache cache = CacheOf(2);
        LayeredSource source = Random(8 * PagesOfChunk, 1, cache, out byte[] expected, out _);
        Assert.Equal(Errno.OK, source.Fetch(0, PageBytes, s_buffer, out SourcePages held));
        for (int page = PagesOfChunk; page < expected.Length; page++)
            Assert.Equal(expected[page], ReadPage(source, page, s_buffer));
        Assert.Equal(expected[0], NativePages.At<byte>(held.Address));
        source.Release(in held);

        // Nothing is left in use: it can go like any other.
        for (int chunk = 1; chunk < 8; chunk++)
            ReadPage(source, chunk * PagesOfChunk, s_buffer);
        Assert.Equal(SourceAnswer.Slow, source.TryGet(0, PageBytes, s_buffer, out _));
        Assert.Equal(2 * Chunk, cache.Read().Bytes);
    }

    [Fact]
    public void What_finds_no_room_is_served_all_the_same()
    {
        ChunkCache cache = CacheOf(1);
        LayeredSource source = Random(2 * PagesOfChunk, 1, cache, out byte[] expected, out _);
        Assert.Equal(Errno.OK, source.Fetch(0, PageBytes, s_buffer, out SourcePages held));
        Assert.Equal(Errno.OK, source.Fetch(Chunk, 2 * PageBytes, s_buffer, out SourcePages passed));
        Assert.Equal((s_buffer, expected[PagesOfChunk + 1]), (passed.Address, NativePages.At<byte>(passed.Address + PageBytes)));
        Assert.Equal(Errno.OK, source.Fetch(0, 2 * Chunk, s_buffer, out SourcePages both));
        Assert.Equal((s_buffer, 2 * Chunk), (both.Address, both.Length));
        Assert.Equal(2, cache.Read().Bypasses);
        source.Release(in held);
        Assert.Equal(1, cache.Read().Tenants.Sum(tenant => tenant.Misses));
    }

    [Fact]
    public void Range_that_is_larger_than_the_cache_empties_it_not()
    {
        ChunkCache cache = CacheOf(64);
        Tenant small = new("small", 1, new TenantLimits { CacheBytes = 4 * Chunk });
        LayeredSource source = Random(16 * PagesOfChunk, 1, cache, out byte[] expected, out ScriptedLayer layer);
        for (int chunk = 0; chunk < 4; chunk++)
            Want(source, small, chunk);
        Assert.Equal(Errno.OK, source.Fetch(8 * Chunk, 5 * Chunk, s_buffer, small, out SourcePages passed));
        Assert.Equal((s_buffer, 5 * Chunk, expected[8 * PagesOfChunk]), (passed.Address, passed.Length, NativePages.At<byte>(passed.Address)));
        Assert.Equal((4L * Chunk, 1L), (source.CachedBytes(), cache.Read().Bypasses));
        Assert.Equal(0, cache.Read().Tenants.Sum(tenant => tenant.Evictions));

        // Of what is there already nothing has to be made room for.
        Tenant none = new("none", 1, new TenantLimits { CacheBytes = 0 });
        Assert.Equal(Errno.OK, source.Fetch(0, 4 * Chunk, s_buffer, none, out SourcePages kept));
        Assert.NotEqual(s_buffer, kept.Address);
        source.Release(in kept);
        Assert.Equal(5, layer.Reads);
    }

    [Fact]
    public void Cache_of_nothing_serves_everything()
    {
        LayeredSource source = Random(2 * PagesOfChunk, 1, new ChunkCache(0), out byte[] expected, out _);
        for (int page = 0; page < expected.Length; page++)
            Assert.Equal(expected[page], ReadPage(source, page, s_buffer));
        Assert.Equal(0, source.CachedBytes());
    }

    [Fact]
    public void Tenant_at_its_limit_loses_its_own_chunks()
    {
        ChunkCache cache = CacheOf(64);
        LayeredSource source = Random(32 * PagesOfChunk, 1, cache, out _, out _);
        Tenant small = new("small", 1, new TenantLimits { CacheBytes = 4 * Chunk });
        Tenant large = new("large", 1, new TenantLimits());
        for (int chunk = 0; chunk < 8; chunk++)
            Want(source, large, chunk);
        for (int chunk = 8; chunk < 32; chunk++)
            Want(source, small, chunk);
        Dictionary<string, CacheTenantReading> tenants = cache.Read().Tenants.ToDictionary(tenant => tenant.Tenant);
        Assert.Equal(new CacheTenantReading("large", 8 * Chunk, 8, 0), tenants["large"]);
        Assert.Equal(new CacheTenantReading("small", 4 * Chunk, 24, 20), tenants["small"]);
    }

    [Fact]
    public void Full_cache_takes_from_whoever_has_most()
    {
        ChunkCache cache = CacheOf(16);
        LayeredSource source = Random(32 * PagesOfChunk, 1, cache, out _, out _);
        Tenant greedy = new("greedy", 1, new TenantLimits());
        Tenant modest = new("modest", 1, new TenantLimits());
        for (int chunk = 0; chunk < 16; chunk++)
            Want(source, greedy, chunk);
        for (int chunk = 16; chunk < 20; chunk++)
            Want(source, modest, chunk);
        Dictionary<string, CacheTenantReading> tenants = cache.Read().Tenants.ToDictionary(tenant => tenant.Tenant);
        Assert.Equal((12L * Chunk, 4L * Chunk), (tenants["greedy"].Bytes, tenants["modest"].Bytes));
        Assert.Equal((4L, 0L), (tenants["greedy"].Evictions, tenants["modest"].Evictions));
    }

    [Fact]
    public void Scan_over_an_image_leaves_what_is_in_use_alone()
    {
        ChunkCache cache = CacheOf(20);
        LayeredSource source = Random(128 * PagesOfChunk, 1, cache, out _, out _);
        for (int round = 0; round < 3; round++)
        {
            for (int chunk = 0; chunk < 10; chunk++)
                ReadPage(source, chunk * PagesOfChunk, s_buffer);
        }

        for (int chunk = 10; chunk < 128; chunk++)
            ReadPage(source, chunk * PagesOfChunk, s_buffer);
        long hits = source.Hits;
        for (int chunk = 0; chunk < 10; chunk++)
            ReadPage(source, chunk * PagesOfChunk, s_buffer);
        Assert.Equal(10, source.Hits - hits);
    }

    [Fact]
    public void Closed_image_takes_its_memory_along()
    {
        ChunkCache cache = CacheOf(8);
        LayeredSource one = Random(4 * PagesOfChunk, 1, cache, out _, out _);
        LayeredSource two = Random(4 * PagesOfChunk, 2, cache, out _, out _);
        for (int page = 0; page < 4 * PagesOfChunk; page += PagesOfChunk)
        {
            ReadPage(one, page, s_buffer);
            ReadPage(two, page, s_buffer);
        }

        ReadPage(one, 0, s_buffer);
        Assert.Equal((8L * Chunk, 1L), (cache.Read().Bytes, cache.Read().Hits));
        one.Dispose();
        Assert.Equal((4L * Chunk, 1L), (cache.Read().Bytes, cache.Read().Hits));
    }

    [Fact]
    public void Everything_at_once_in_a_cache_that_is_far_too_small_stays_right()
    {
        // Eight threads over two images of 64 chunks with room for six: each page is looked at as the fault loop does (TryGet) and as a fetch thread does,
        // checked while it is held, and one read in sixteen fails.
        ChunkCache cache = CacheOf(6);
        LayeredSource[] sources = [Random(64 * PagesOfChunk, 1, cache, out byte[] one, out ScriptedLayer first), Random(64 * PagesOfChunk, 2, cache, out byte[] two, out ScriptedLayer second)];
        byte[][] expected = [one, two];
        Tenant[] tenants = [Alice, Bob];
        int wrong = 0;
        int served = 0;
        Thread[] threads = [.. Enumerable.Range(0, 8).Select(seed => new Thread(() =>
        {
            Random random = new(seed);
            nuint buffer = NativePages.Map(1 << 20);
            for (int i = 0; i < 3000; i++)
            {
                int which = random.Next(2);
                int page = random.Next(expected[which].Length);
                int bytes = random.Next(1, 40) * PageBytes;
                long offset = (long)page * PageBytes;
                bytes = (int)Math.Min(bytes, sources[which].Length - offset);
                if (random.Next(16) == 0)
                    (which == 0 ? first : second).FailNext(1);
                bool isReady = sources[which].TryGet(offset, bytes, buffer, out SourcePages pages) == SourceAnswer.Ready
                    || sources[which].Fetch(offset, bytes, buffer, tenants[random.Next(2)], out pages) == Errno.OK;
                if (!isReady)
                    continue;
                Interlocked.Increment(ref served);
                for (int at = 0; at < pages.Length; at += PageBytes)
                {
                    if (NativePages.AsSpan(pages.Address + (nuint)at, PageBytes).IndexOfAnyExcept(expected[which][page + (at / PageBytes)]) >= 0)
                        Interlocked.Increment(ref wrong);
                }

                sources[which].Release(in pages);
            }

            NativePages.Unmap(buffer, 1 << 20);
        }))];
        foreach (Thread thread in threads)
            thread.Start();
        foreach (Thread thread in threads)
            thread.Join();
        Assert.Equal(0, wrong);
        Assert.InRange(served, 20000, 24000);
        CacheReading reading = cache.Read();
        Assert.InRange(reading.Bytes, 0, 6 * Chunk);
        Assert.Equal(reading.Bytes, sources.Sum(source => source.CachedBytes()));
        Assert.Equal(reading.Bytes, reading.Tenants.Sum(tenant => tenant.Bytes));
    }

    [Fact]
    public void Warming_fills_the_cache_and_gives_nothing_else_up()
    {
        ChunkCache cache = CacheOf(16);
        LayeredSource used = Random(4 * PagesOfChunk, 1, cache, out _, out _);
        for (int chunk = 0; chunk < 4; chunk++)
            Want(used, Alice, chunk);
        LayeredSource source = Random(20 * PagesOfChunk, 2, cache, out byte[] expected, out ScriptedLayer layer);
        List<long> told = [];
        Assert.Equal(Errno.OK, source.Warm(Chunk, 9 * Chunk, at =>
        {
            told.Add(at);
            return true;
        }));
        Assert.Equal([9L * Chunk, 10L * Chunk], told);
        Assert.Equal((9L * Chunk, 2), (source.CachedBytes(), layer.Reads));
        Assert.Equal(SourceAnswer.Ready, source.TryGet(Chunk, PageBytes, s_buffer, out SourcePages pages));
        Assert.Equal(expected[PagesOfChunk], NativePages.At<byte>(pages.Address));
        source.Release(in pages);
        Assert.Equal(Errno.ENOSPC, source.Warm(0, long.MaxValue, _ => true));
        Assert.Equal(4 * Chunk, used.CachedBytes());
        Assert.Equal(0, cache.Read().Tenants.Sum(tenant => tenant.Evictions));
    }

    private static void Want(LayeredSource source, Tenant payer, int chunk)
    {
        Assert.Equal(Errno.OK, source.Fetch((long)chunk * Chunk, PageBytes, s_buffer, payer, out SourcePages pages));
        source.Release(in pages);
    }
}
