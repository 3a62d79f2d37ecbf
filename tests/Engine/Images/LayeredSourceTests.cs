using UffdManager.Engine.Images;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Images;

/// <summary>Clients that run from layered images.</summary>
public sealed class LayeredSourceTests : ImageTest
{
    private static readonly Policy Killing = new() { Name = "killing", OnUnavailable = Verdict.Kill, Deadline = TimeSpan.FromSeconds(30), RetryBackoff = TimeSpan.FromMilliseconds(1) };

    [Fact]
    public void Client_reads_each_page_of_the_newest_layer_and_zeros_where_there_is_none()
    {
        ScriptedLayer below = Open(WriteSparse(128 * PageBytes, new Dictionary<long, byte> { [0] = 1, [1] = 1, [2] = 1, [70] = 1 }));
        ScriptedLayer diff = Open(WriteSparse(128 * PageBytes, new Dictionary<long, byte> { [1] = 2, [3] = 2, [71] = 2 }));
        ScriptedLayer newest = Open(WriteSparse(128 * PageBytes, new Dictionary<long, byte> { [2] = 0, [3] = 3 }));
        LayeredSource source = Own(new LayeredSource([below, diff, newest], PageBytes, CacheOf(8), "image"));
        ServedClient client = Serve();
        ulong at = client.MapRegistered(128 * Page, source);
        byte[] expected = new byte[128];
        (expected[0], expected[1], expected[2], expected[3], expected[70], expected[71]) = (1, 2, 0, 3, 1, 2);
        AssertHolds(client, at, expected);
        Assert.Equal(6 * PageBytes, source.ReadBytes);
    }

    [Fact]
    public void Hole_is_served_without_a_read_and_without_memory()
    {
        ScriptedLayer layer = Open(WriteSparse(8 << 20, new Dictionary<long, byte> { [2047] = 9 }));
        ChunkCache cache = CacheOf(8);
        LayeredSource source = Own(new LayeredSource([layer], PageBytes, cache, "image"));
        ServedClient client = Serve();
        ulong at = client.MapRegistered(8 * MiB, source);
        for (ulong page = 0; page < 2047; page += 100)
            Assert.Equal(0, client.Client.ReadByte(at + (page * Page)));
        Assert.Equal((0, 0L), (layer.Reads, cache.Read().Bytes));
        Assert.Equal(9, client.Client.ReadByte(at + (2047 * Page)));
        Assert.Equal(1, layer.Reads);
    }

    [Fact]
    public void Populate_copies_what_is_there_and_reads_no_hole()
    {
        Dictionary<long, byte> pages = Enumerable.Range(256, 40).ToDictionary(page => (long)page, page => (byte)5);
        ScriptedLayer layer = Open(WriteSparse(4 << 20, pages));
        LayeredSource source = Own(new LayeredSource([layer], PageBytes, CacheOf(8), "image"));
        ServedClient client = Serve();
        ulong at = client.MapRegistered(4 * MiB, source);
        EngineResult done = Engine.PrefetchAsync(client.Session, at, 4 * MiB).Finish();
        Assert.Null(done.Error);
        Assert.Equal(40 * PageBytes, layer.Bytes);
        Assert.Equal(40 * PageBytes, client.Status().CopiedBytes);
        long faults = client.Status().Faults;
        byte[] expected = new byte[1024];
        expected.AsSpan(256, 40).Fill(5);
        AssertHolds(client, at, expected);
        Assert.Equal(faults, client.Status().Faults);
    }

    [Fact]
    public void Clones_read_each_chunk_from_the_disk_once()
    {
        LayeredSource source = Random(1024, 3, CacheOf(64), out byte[] expected, out ScriptedLayer layer);
        ServedClient[] clones = [.. Enumerable.Range(0, 8).Select(i => Serve(i % 2 == 0 ? Alice : Bob))];
        ulong[] starts = [.. clones.Select(clone => clone.MapRegistered(4 * MiB, source))];
        ulong hash = HashOf(expected);
        PendingReply[] replies = [.. clones.Select((clone, i) => clone.Client.Begin($"hash {starts[i]} {4 * MiB}", 1))];
        Assert.All(replies, reply => Assert.Equal(hash, reply.AwaitValue()));
        Assert.Equal(4 << 20, layer.Bytes);
    }

    [Fact]
    public void Clones_of_an_image_larger_than_the_cache_read_the_right_pages()
    {
        LayeredSource source = Random(2048, 4, CacheOf(4), out byte[] expected, out _);
        ServedClient[] clones = [.. Enumerable.Range(0, 6).Select(i => Serve(i % 2 == 0 ? Alice : Bob))];
        ulong[] starts = [.. clones.Select(clone => clone.MapRegistered(8 * MiB, source, new Policy { Name = "around", OnUnavailable = Verdict.Wait, FaultAroundBytes = 64 * 1024 }))];
        ulong hash = HashOf(expected);
        PendingReply[] replies = [.. clones.Select((clone, i) => clone.Client.Begin($"hash {starts[i]} {8 * MiB}", 1))];
        Assert.All(replies, reply => Assert.Equal(hash, reply.AwaitValue()));
        Assert.InRange(Engine.ImageCache.Read().Bytes, 0, 4 * Chunk);
    }

    // One UFFDIO_COPY takes from 16 chunks; a cache of fewer is read past.
    [Theory]
    [InlineData(64, 4)]
    [InlineData(8, 0)]
    public void Huge_pages_are_copied_from_many_chunks_at_once(int chunks, int cachedMiB)
    {
        using HugePages pool = HugePages.AtLeast(2);
        ChunkCache cache = CacheOf(chunks);
        LayeredSource source = Random(1024, 5, cache, out byte[] expected, out _);
        ServedClient client = Serve();
        (ulong at, _) = client.Client.Map("hugetlb", 4 * MiB);
        client.Register(at, 4 * MiB, source);
        Assert.Equal(2 * MiB, Assert.Single(client.Regions()).PageBytes);
        AssertHolds(client, at, expected);
        Assert.Equal(2, client.Status().Faults);
        if (cachedMiB > 0)
            Assert.Equal((long)cachedMiB << 20, cache.Read().Bytes);
        else
            Assert.True(cache.Read().Bypasses > 0);
        client.Client.Kill();
    }

    [Fact]
    public void Client_maps_no_memory_of_a_kind_that_it_does_not_know()
    {
        ServedClient client = Serve();
        Assert.Equal(Errno.EINVAL, client.Client.Begin("map huge 4096", 1).Await().Errno);
        Assert.Equal(Errno.EINVAL, client.Client.Begin("map anon-huge 4096", 1).Await().Errno);
    }

    [Fact]
    public void Device_that_fails_is_asked_again_and_the_others_do_not_notice()
    {
        ChunkCache cache = CacheOf(64);
        LayeredSource failing = Random(64, 6, cache, out byte[] expected, out ScriptedLayer layer);
        LayeredSource healthy = Random(64, 7, cache, out byte[] other, out _);
        ServedClient one = Serve(Alice);
        ServedClient two = Serve(Bob);
        ulong atOne = one.MapRegistered(64 * Page, failing, Killing);
        ulong atTwo = two.MapRegistered(64 * Page, healthy, Killing);
        layer.FailNext(3);
        AssertHolds(one, atOne, expected);
        AssertHolds(two, atTwo, other);
        SourceFailed failed = WaitForEvent<SourceFailed>();
        Assert.Equal(Errno.EIO, failed.Errno);
    }

    [Fact]
    public void Truncated_file_ends_those_who_need_it_and_nobody_else()
    {
        ChunkCache cache = CacheOf(64);
        LayeredSource source = Random(64, 8, cache, out byte[] expected, out ScriptedLayer layer);
        LayeredSource healthy = Random(64, 9, cache, out byte[] other, out _);
        ServedClient one = Serve(Alice);
        ServedClient lucky = Serve(Alice);
        ServedClient two = Serve(Bob);
        ulong atOne = one.MapRegistered(64 * Page, source, Killing);
        ulong atLucky = lucky.MapRegistered(32 * Page, source, Killing);
        ulong atTwo = two.MapRegistered(64 * Page, healthy, Killing);
        Assert.Equal(expected[0], one.Client.ReadByte(atOne));
        using (SafeFile file = FileIo.Open(layer.Description, OpenFlags.ReadWrite))
            Memfd.Truncate(file, 33 * PageBytes);

        // What the cache has is from before; the rest is nowhere.
        AssertHolds(lucky, atLucky, expected.AsSpan(0, 32));
        one.Client.Begin($"read {atOne + (40 * Page)}", 1);
        one.Client.WaitForExit();
        Assert.Equal(layer.Description, source.ChangedFile);
        AssertHolds(two, atTwo, other);
        Assert.False(lucky.Client.HasExited);
    }

    [Fact]
    public void File_that_is_written_is_noticed_although_its_length_stays()
    {
        LayeredSource source = Random(64, 10, CacheOf(64), out byte[] expected, out ScriptedLayer layer);
        ServedClient client = Serve();
        ulong at = client.MapRegistered(64 * Page, source, Killing);
        Assert.Equal(expected[0], client.Client.ReadByte(at));
        using (FileStream file = new(layer.Description, FileMode.Open, FileAccess.Write))
        {
            file.Position = 50 * PageBytes;
            file.WriteByte(0);
        }

        client.Client.Begin($"read {at + (40 * Page)}", 1);
        client.Client.WaitForExit();
        SourceFailed failed = WaitForEvent<SourceFailed>();
        Assert.Equal((Errno.ESTALE, 1), (failed.Errno, failed.Attempts));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Rest_of_the_last_page_is_zeros_and_beyond_it_is_nothing(bool isHole)
    {
        string path = Temp.WriteFile("odd", isHole ? [.. Enumerable.Repeat((byte)7, PageBytes)] : [.. Enumerable.Repeat((byte)7, PageBytes + 100)]);
        using (SafeFile file = FileIo.Open(path, OpenFlags.ReadWrite))
            Memfd.Truncate(file, PageBytes + 100);
        LayeredSource source = Own(new LayeredSource([new ImageLayer(FileIo.Open(path, OpenFlags.ReadOnly), path, isDirect: false)], PageBytes, CacheOf(4), "image"));
        ServedClient client = Serve();
        ulong at = client.MapRegistered(2 * Page, source, Killing with { FaultAroundBytes = 16 * 1024 });
        Assert.True(client.Client.IsFilledWith(at, Page, 7));
        Assert.True(client.Client.IsFilledWith(at + Page, 100, isHole ? (byte)0 : (byte)7));
        client.AssertZero(at + Page + 100, Page - 100);

        // A region can come to reach beyond by mremap: neither zeros nor what lies in the cache behind the end.
        Assert.Equal(SourceAnswer.Slow, source.TryGet(2 * PageBytes, PageBytes, 0, out _));
        Assert.Equal(SourceAnswer.Slow, source.TryGet(PageBytes, 2 * PageBytes, 0, out _));
        Assert.Equal(Errno.ENXIO, source.Fetch(2 * PageBytes, PageBytes, 0, out _));
        Assert.Equal(Errno.OK, source.Fetch(PageBytes, 4 * PageBytes, 0, out SourcePages last));
        Assert.Equal(PageBytes, last.Length);
        source.Release(in last);
    }

    [SkippableFact]
    public void Direct_reads_bring_the_same_bytes()
    {
        byte[] contents = new byte[(300 * 1024) + 77];
        new Random(5).NextBytes(contents);
        string path = Temp.WriteFile("direct", contents);
        SafeFile? file = FileIo.TryOpen(path, OpenFlags.ReadOnly | OpenFlags.Direct, out Errno errno);
        Require.That(errno != Errno.EINVAL, "the file system of the temporary directory has no O_DIRECT");
        ImageLayer layer = new(file!, path, isDirect: true);
        Assert.Equal(Errno.OK, layer.TryRead());
        LayeredSource source = Own(new LayeredSource([layer], PageBytes, CacheOf(4), "image"));
        ServedClient client = Serve();
        ulong bytes = PageSize.AlignUp((ulong)contents.Length, Page);
        ulong at = client.MapRegistered(bytes, source);
        Assert.Equal(ClientProcess.Hash([.. contents, .. new byte[(int)bytes - contents.Length]]), client.Client.HashRange(at, bytes));
    }

    [Fact]
    public void Client_that_dies_while_its_chunk_is_read_leaves_the_cache_in_order()
    {
        ChunkCache cache = CacheOf(4);
        LayeredSource source = Random(64, 11, cache, out byte[] expected, out ScriptedLayer layer);
        ServedClient one = Serve();
        ulong at = one.MapRegistered(64 * Page, source);
        layer.Hold();
        one.Client.Begin($"read {at}", 1);
        layer.WaitForReads(1);
        one.Client.Kill();
        Eventually.True(() => Engine.Sessions().Count == 0, "the end of the session");
        layer.Release();
        ServedClient two = Serve();
        ulong next = two.MapRegistered(64 * Page, source);
        AssertHolds(two, next, expected);
        Assert.Equal(2 * Chunk, cache.Read().Bytes);
        Assert.Equal(2, layer.Reads);
    }

    [Fact]
    public void Shared_object_is_filled_from_the_layers()
    {
        ScriptedLayer below = Open(WriteSparse(64 * PageBytes, new Dictionary<long, byte> { [0] = 1, [1] = 1, [40] = 1 }));
        ScriptedLayer diff = Open(WriteSparse(64 * PageBytes, new Dictionary<long, byte> { [1] = 2 }));
        LayeredSource source = Own(new LayeredSource([below, diff], PageBytes, CacheOf(8), "image"));
        SharedImage image = SharedImage.Create(source, 0, 64 * PageBytes, writable: false, "object");
        byte[] expected = new byte[64];
        (expected[0], expected[1], expected[40]) = (1, 2, 1);
        foreach (ServedClient client in new[] { Serve(Alice), Serve(Bob) })
        {
            using SafeFd descriptor = image.HandOut(writable: false);
            int number = client.Client.Give(descriptor);
            ulong at = client.Client.Run($"mapfd {number} 0 {64 * Page} 0 3");
            Assert.Null(client.TryRegister(at, 64 * Page, modes: UffdRegisterModes.Missing | UffdRegisterModes.Minor, image: image).Error);
            AssertHolds(client, at, expected);
        }

        image.Dispose();
        Assert.Equal(3 * PageBytes, source.ReadBytes);
    }
}
