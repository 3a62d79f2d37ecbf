using UffdManager.Engine.Images;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Images;

/// <summary>Images that some clients map and others are copied from.</summary>
public sealed class MappedImageTests : ImageTest
{
    private const int PagesOfChunk = Chunk / PageBytes;
    private const int Pages = 8 * PagesOfChunk;

    // For the life of the test process: a few pages of it are ever touched.
    private static readonly nuint s_buffer = NativePages.Map(4 << 20);

    [Fact]
    public void What_a_sealed_object_has_is_copied_from_there_and_not_kept_twice()
    {
        ChunkCache cache = CacheOf(64);
        LayeredSource source = Random(Pages, 21, cache, out byte[] expected, out ScriptedLayer layer);
        SharedImage image = Own(SharedImage.Create(source, 0, Pages * PageBytes, writable: false, "object"));
        ServedClient mapper = Serve(Alice);
        AssertHolds(mapper, Map(mapper, image, Pages), expected);
        Eventually.True(() => cache.Read().Bytes == 0, "the chunks to be given up");
        Assert.Equal(Pages * PageBytes, image.MemoryBytes);

        ServedClient clone = Serve(Bob);
        AssertHolds(clone, clone.MapRegistered(Pages * Page, source), expected);
        Assert.Equal((Pages * PageBytes, 0L, 0L), (layer.Bytes, cache.Read().Bytes, source.CachedBytes()));
        Assert.Equal(Errno.OK, source.Warm(0, long.MaxValue, _ => true));
        Assert.Equal((Pages * PageBytes, 0L), (layer.Bytes, cache.Read().Bytes));
    }

    [Fact]
    public void Chunk_of_which_an_object_lacks_a_page_is_not_copied_from_there()
    {
        LayeredSource source = Random(PagesOfChunk, 22, CacheOf(0), out byte[] expected, out ScriptedLayer layer);
        SharedImage image = Own(SharedImage.Create(source, 0, Chunk, writable: false, "object"));
        (ServedClient mapper, ServedClient clone) = (Serve(Alice), Serve(Bob));
        (ulong at, ulong other) = (Map(mapper, image, PagesOfChunk), clone.MapRegistered(Chunk, source));
        AssertHolds(mapper, at, expected.AsSpan(0, PagesOfChunk - 1));
        Assert.Equal(PagesOfChunk - 1, layer.Reads);
        Assert.Equal(expected[0], clone.Client.ReadByte(other));
        Assert.Equal(PagesOfChunk, layer.Reads);
        AssertHolds(mapper, at, expected);
        AssertHolds(clone, other, expected);
        Assert.Equal(PagesOfChunk + 1, layer.Reads);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Object_that_somebody_could_write_is_not_copied_from(bool writable)
    {
        LayeredSource source = Random(PagesOfChunk, 23, CacheOf(0), out byte[] expected, out ScriptedLayer layer);
        SharedImage image = Own(SharedImage.Create(source, 0, Chunk, writable, "object", byPermission: !writable));
        (ServedClient mapper, ServedClient clone) = (Serve(Alice), Serve(Bob));
        ulong at = Map(mapper, image, PagesOfChunk, writable);
        AssertHolds(mapper, at, expected);
        if (writable)
            mapper.Client.Run($"fill {at} {Chunk} 0");
        AssertHolds(clone, clone.MapRegistered(Chunk, source), expected);
        Assert.Equal(2 * PagesOfChunk, layer.Reads);
    }

    [Fact]
    public void Object_stays_while_pages_are_copied_from_it_and_what_it_had_is_read_again_when_it_is_gone()
    {
        LayeredSource source = Random(PagesOfChunk, 24, CacheOf(4), out byte[] expected, out ScriptedLayer layer);
        SharedImage image = SharedImage.Create(source, 0, Chunk, writable: false, "object");
        bool isReleased = false;
        image.Released = () => Volatile.Write(ref isReleased, true);
        ServedClient mapper = Serve(Alice);
        AssertHolds(mapper, Map(mapper, image, PagesOfChunk), expected);
        Eventually.True(() => source.CachedBytes() == 0, "the chunk to be given up");
        Assert.Equal(SourceAnswer.Ready, source.TryGet(PageBytes, 2 * PageBytes, s_buffer, out SourcePages held));
        image.Dispose();
        mapper.Client.Kill();
        Eventually.True(() => Engine.Sessions().Count == 0, "the end of the session");
        Assert.False(Volatile.Read(ref isReleased));
        Assert.Equal((expected[1], expected[2]), (NativePages.At<byte>(held.Address), NativePages.At<byte>(held.Address + PageBytes)));
        source.Release(in held);
        Eventually.True(() => Volatile.Read(ref isReleased), "the end of the object");
        Assert.Equal(SourceAnswer.Slow, source.TryGet(PageBytes, PageBytes, s_buffer, out _));
        Assert.Equal(1, layer.Reads);
        Assert.Equal(expected[1], ReadPage(source, 1, s_buffer));
        Assert.Equal((2, (long)Chunk), (layer.Reads, source.CachedBytes()));
    }

    [Fact]
    public void Chunk_that_is_wanted_beside_others_comes_back_from_the_object_and_is_counted_once()
    {
        ChunkCache cache = CacheOf(12);
        LayeredSource source = Random(Pages, 25, cache, out byte[] expected, out ScriptedLayer layer);
        SharedImage image = Own(SharedImage.Create(source, Chunk, 3 * Chunk, writable: false, "object"));
        ServedClient mapper = Serve(Alice);
        AssertHolds(mapper, Map(mapper, image, 3 * PagesOfChunk), expected.AsSpan(PagesOfChunk, 3 * PagesOfChunk));
        Eventually.True(() => cache.Read().Bytes == 0, "the chunks to be given up");
        for (int round = 0; round < 2; round++)
        {
            Assert.Equal(Errno.OK, source.Fetch(0, 8 * Chunk, s_buffer, Bob, out SourcePages pages));
            Assert.Equal(8 * Chunk, pages.Length);
            Assert.Equal(expected, Enumerable.Range(0, Pages).Select(page => NativePages.At<byte>(pages.Address + ((nuint)page * PageBytes))));
            source.Release(in pages);
            Assert.Equal((8L * Chunk, 8L * Chunk), (layer.Bytes, cache.Read().Bytes));
        }

        // Others push all of it out, and everybody is charged for what is there.
        LayeredSource next = Random(16 * PagesOfChunk, 26, cache, out byte[] others, out _);
        for (int page = 0; page < others.Length; page++)
            Assert.Equal(others[page], ReadPage(next, page, s_buffer));
        CacheReading reading = cache.Read();
        Assert.Equal(12L * Chunk, reading.Bytes);
        Assert.Equal(reading.Bytes, source.CachedBytes() + next.CachedBytes());
        Assert.Equal(reading.Bytes, reading.Tenants.Sum(tenant => tenant.Bytes));
        next.Dispose();
        Assert.Equal(source.CachedBytes(), cache.Read().Bytes);
    }

    [Fact]
    public void Clones_are_copied_from_an_object_while_it_is_filled()
    {
        ChunkCache cache = CacheOf(64);
        LayeredSource source = Random(Pages, 27, cache, out byte[] expected, out ScriptedLayer layer);
        SharedImage image = Own(SharedImage.Create(source, 0, Pages * PageBytes, writable: false, "object"));
        ServedClient[] mappers = [Serve(Alice), Serve(Bob)];
        ServedClient[] clones = [Serve(Alice), Serve(Bob), Serve(Alice)];
        ulong hash = HashOf(expected);
        PendingReply[] replies =
        [
            .. mappers.Select(mapper => mapper.Client.Begin($"hash {Map(mapper, image, Pages)} {Pages * PageBytes}", 1)),
            .. clones.Select(clone => clone.Client.Begin($"hash {clone.MapRegistered(Pages * Page, source)} {Pages * PageBytes}", 1)),
        ];
        Assert.All(replies, reply => Assert.Equal(hash, reply.AwaitValue()));
        Assert.InRange(cache.Read().Bytes, 0, Pages * PageBytes);
        Assert.Equal(cache.Read().Bytes, source.CachedBytes());
    }

    private static ulong Map(ServedClient client, SharedImage image, int pages, bool shared = false)
    {
        using SafeFd descriptor = image.HandOut(shared);
        int number = client.Client.Give(descriptor);
        ulong at = client.Client.Run($"mapfd {number} 0 {pages * PageBytes} {(shared ? 1 : 0)} 3");
        Assert.Null(client.TryRegister(at, (ulong)pages * Page, modes: UffdRegisterModes.Missing | UffdRegisterModes.Minor, image: image).Error);
        return at;
    }
}
