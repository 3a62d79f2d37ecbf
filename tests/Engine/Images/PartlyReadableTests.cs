using UffdManager.Engine.Images;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Engine.Tests.Images;

/// <summary>What can be read is served, whatever lies around it.</summary>
public sealed class PartlyReadableTests : ImageTest
{
    private const int PagesOfChunk = Chunk / PageBytes;

    // For the life of the test process.
    private static readonly nuint s_buffer = NativePages.Map(4 << 20);

    private static Policy Around => new()
    {
        Name = "around",
        OnUnavailable = Verdict.Kill,
        Deadline = TimeSpan.FromSeconds(30),
        RetryBackoff = TimeSpan.FromMilliseconds(1),
        FaultAroundBytes = 64 * 1024,
    };

    [Theory]
    [InlineData(0)]
    [InlineData(64 * 1024)]
    public void Bad_sector_costs_its_own_page_and_no_other(int around)
    {
        LayeredSource source = Random(2 * PagesOfChunk, 1, CacheOf(8), out byte[] expected, out ScriptedLayer layer);
        layer.BadSector = (5 * PageBytes) + 512;
        ServedClient client = Serve();
        ulong at = client.MapRegistered(2 * (ulong)Chunk, source, Around with { FaultAroundBytes = around });
        for (int page = 0; page < expected.Length; page++)
        {
            if (page != 5)
                Assert.Equal(expected[page], client.Client.ReadByte(at + ((ulong)page * Page)));
        }

        Assert.Null(source.ChangedFile);
        Assert.Equal(0, client.Session.Tenant.Usage.PagesInFlight);
    }

    [Fact]
    public void Bad_sector_in_a_range_leaves_the_chunks_before_it()
    {
        LayeredSource source = Random(4 * PagesOfChunk, 1, CacheOf(8), out byte[] expected, out ScriptedLayer layer);
        Assert.Equal(expected[0], ReadPage(source, 0, s_buffer));
        layer.BadSector = Chunk + PageBytes;
        Assert.Equal(Errno.OK, source.Fetch(PageBytes, 3 * Chunk, s_buffer, out SourcePages pages));
        Assert.Equal(Chunk - PageBytes, pages.Length);
        Assert.Equal(expected[1], NativePages.At<byte>(pages.Address));
        source.Release(in pages);
        Assert.Equal(expected[PagesOfChunk], ReadPage(source, PagesOfChunk, s_buffer));
        Assert.Equal(Errno.EIO, source.Fetch(Chunk, 2 * PageBytes, s_buffer, out _));
    }

    [Fact]
    public void Page_that_is_cached_is_served_although_the_file_has_changed_and_its_window_needs_it()
    {
        LayeredSource source = Random(2 * PagesOfChunk, 1, CacheOf(8), out byte[] expected, out ScriptedLayer layer);
        _ = ReadPage(source, PagesOfChunk, s_buffer);
        File.SetLastWriteTimeUtc(layer.Description, DateTime.UnixEpoch);
        ServedClient client = Serve();

        // The region begins in the middle of a window, so that each window lies over two chunks.
        ulong at = client.Client.Map("anon", 2 * (ulong)Chunk).Address;
        client.Register(at, 2 * (ulong)Chunk, source, Around with { FaultAroundBytes = 2 * Chunk });
        Assert.Equal(expected[PagesOfChunk + 3], client.Client.ReadByte(at + ((PagesOfChunk + 3) * Page)));
        AssertHolds(client, at + (ulong)Chunk, expected.AsSpan(PagesOfChunk));
        client.Client.Begin($"read {at}", 1);
        client.Client.WaitForExit();
        Assert.Equal(layer.Description, source.ChangedFile);
    }

    [Fact]
    public void File_system_that_does_not_answer_for_once_says_nothing_of_the_file()
    {
        LayeredSource source = Random(PagesOfChunk, 1, CacheOf(8), out byte[] expected, out ScriptedLayer layer);
        ServedClient client = Serve();
        ulong at = client.MapRegistered((ulong)Chunk, source, Around with { FaultAroundBytes = 0 });
        layer.NextCheck = Errno.ETIMEDOUT;
        AssertHolds(client, at, expected);
        Assert.Null(source.ChangedFile);
        layer.NextCheck = Errno.EIO;
        Assert.Null(source.FindChange());
    }

    [Fact]
    public void Scattered_pieces_are_announced_and_read_without_what_is_around_them()
    {
        ChunkCache cache = CacheOf(64);
        LayeredSource source = Random(16 * PagesOfChunk, 1, cache, out byte[] expected, out ScriptedLayer layer);
        ReplayBatch batch = new();
        batch.Clear(ReplayBatch.MaximumPieces);
        for (int chunk = 0; chunk < 15; chunk++)
            batch.Add(0, ((long)chunk * Chunk) + PageBytes, 2 * PageBytes);
        batch.Add(0, 15L * Chunk, Chunk - PageBytes);
        Assert.Equal(Errno.OK, batch.Fetch(source, s_buffer, new Tenant("one", 1, new TenantLimits())));
        for (int chunk = 0; chunk < 15; chunk++)
            Assert.Equal(expected[(chunk * PagesOfChunk) + 2], NativePages.At<byte>(batch.PagesOf(chunk).Address + PageBytes));
        Assert.Equal(expected[15 * PagesOfChunk], NativePages.At<byte>(batch.PagesOf(15).Address));
        Assert.Equal((15 * 2 * PageBytes) + Chunk, layer.Bytes);
        Assert.Equal(Enumerable.Range(0, 15).Select(chunk => (((long)chunk * Chunk) + PageBytes, 2L * PageBytes)).Append((15L * Chunk, Chunk)), layer.Announced);
        Assert.Equal(Chunk, cache.Read().Bytes);
        batch.Release(source);
    }

    [Fact]
    public void Piece_that_is_cached_is_taken_from_there()
    {
        LayeredSource source = Random(PagesOfChunk, 1, CacheOf(8), out byte[] expected, out ScriptedLayer layer);
        _ = ReadPage(source, 0, s_buffer);
        Assert.Equal(Errno.OK, source.FetchPiece(PageBytes, PageBytes, s_buffer, Alice, out SourcePages pages));
        Assert.Equal((1, expected[1]), (layer.Reads, NativePages.At<byte>(pages.Address)));
        source.Release(in pages);
        Assert.True(source.Store.TryBeginEvict(0));
        source.Store.EndEvict(0);
    }
}
