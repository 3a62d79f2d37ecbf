using UffdManager.Engine.Images;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Engine.Tests.Images;

/// <summary>Memory files that nobody has added as images.</summary>
public sealed class PlainImageTests : ImageTest
{
    private static readonly Policy Killing = new() { Name = "killing", OnUnavailable = Verdict.Kill, Deadline = TimeSpan.FromSeconds(30), RetryBackoff = TimeSpan.FromMilliseconds(1) };

    // For the life of the test process: a few pages of it are ever touched.
    private static readonly nuint s_buffer = NativePages.Map(4 << 20);

    [Fact]
    public void Holes_are_zeros_that_are_neither_read_nor_copied()
    {
        PlainImage source = Plain(WriteSparse(8 << 20, new Dictionary<long, byte> { [2047] = 9 }));
        ServedClient client = Serve();
        ulong at = client.MapRegistered(8 * MiB, source);
        for (ulong page = 0; page < 2047; page += 100)
            Assert.Equal(0, client.Client.ReadByte(at + (page * Page)));
        Assert.Equal((0L, 21L), (client.Status().CopiedBytes, client.Status().Faults));
        Assert.Equal(9, client.Client.ReadByte(at + (2047 * Page)));
        Assert.Equal((long)Page, client.Status().CopiedBytes);
    }

    [Fact]
    public void Populate_copies_what_is_there_and_reads_no_hole()
    {
        PlainImage source = Plain(WriteSparse(4 << 20, Enumerable.Range(256, 40).ToDictionary(page => (long)page, _ => (byte)5)));
        ServedClient client = Serve();
        ulong at = client.MapRegistered(4 * MiB, source);
        Assert.Null(Engine.PrefetchAsync(client.Session, at, 4 * MiB).Finish().Error);
        Assert.Equal(40 * (long)Page, client.Status().CopiedBytes);
        byte[] expected = new byte[1024];
        expected.AsSpan(256, 40).Fill(5);
        AssertHolds(client, at, expected);
        Assert.Equal(0, client.Status().Faults);
    }

    [Fact]
    public void File_that_is_written_under_its_client_ends_who_needs_a_page_of_it_and_nobody_else()
    {
        string path = WriteRandom(64, 33, out byte[] expected);
        PlainImage source = Plain(path, checkInterval: 0);
        PlainImage healthy = Plain(WriteRandom(64, 34, out byte[] other), checkInterval: 0);
        (ServedClient victim, ServedClient bystander, ServedClient full) = (Serve(Alice), Serve(Bob), Serve(Alice));
        ulong at = victim.MapRegistered(64 * Page, source, Killing);
        ulong atOther = bystander.MapRegistered(64 * Page, healthy, Killing);
        ulong atFull = full.MapRegistered(64 * Page, source, Killing);
        AssertHolds(full, atFull, expected);
        Assert.Equal(expected[0], victim.Client.ReadByte(at));
        WriteTo(path);
        victim.Client.Begin($"read {at + (40 * Page)}", 1);
        victim.Client.WaitForExit();
        SourceFailed failed = WaitForEvent<SourceFailed>();
        Assert.Equal((Errno.ESTALE, 1), (failed.Errno, failed.Attempts));
        Assert.True(source.HasChanged);
        AssertHolds(bystander, atOther, other);
        AssertHolds(full, atFull, expected);
    }

    [Fact]
    public void Fault_loop_asks_no_oftener_than_it_should_and_a_fetch_thread_each_time()
    {
        string path = WriteRandom(64, 35, out _);
        PlainImage source = Plain(path, checkInterval: long.MaxValue / 2);
        Assert.NotEqual(SourceAnswer.Zero, source.TryGet(0, PageBytes, s_buffer, out SourcePages first));
        source.Release(in first);
        WriteTo(path);
        _ = source.TryGet(PageBytes, PageBytes, s_buffer, out SourcePages second);
        source.Release(in second);
        Assert.False(source.HasChanged);
        Assert.Equal(Errno.ESTALE, source.Fetch(2 * PageBytes, PageBytes, s_buffer, out SourcePages none));
        Assert.Equal((0, true), (none.Length, source.HasChanged));

        // For good.
        Assert.Equal(SourceAnswer.Slow, source.TryGet(0, PageBytes, s_buffer, out _));
        Assert.Equal(Errno.ESTALE, source.Fetch(0, PageBytes, s_buffer, out _));
    }

    [Fact]
    public void Truncated_file_is_no_device_that_fails()
    {
        string path = WriteRandom(64, 36, out _);
        PlainImage source = Plain(path);
        using (SafeFile file = FileIo.Open(path, OpenFlags.ReadWrite))
            Memfd.Truncate(file, 8 * PageBytes);
        Assert.Equal(Errno.ESTALE, source.Fetch(40 * PageBytes, PageBytes, s_buffer, out _));
    }

    [Fact]
    public void Rest_of_the_last_page_is_zeros_and_beyond_it_is_nothing()
    {
        PlainImage source = Plain(Temp.WriteFile("odd", [.. Enumerable.Repeat((byte)7, PageBytes + 100)]));
        ServedClient client = Serve();
        ulong at = client.MapRegistered(2 * Page, source);
        Assert.True(client.Client.IsFilledWith(at, Page + 100, 7));
        client.AssertZero(at + Page + 100, Page - 100);
        Assert.Equal(SourceAnswer.Slow, source.TryGet(2 * PageBytes, PageBytes, s_buffer, out _));
        Assert.Equal(Errno.ENXIO, source.Fetch(2 * PageBytes, PageBytes, s_buffer, out _));
        Assert.False(source.StartsWithZeros(2 * PageBytes, PageBytes, out _));
    }

    [Fact]
    public void File_whose_holes_cannot_be_told_is_read_like_any_other()
    {
        string path = WriteRandom(8, 37, out byte[] expected);
        ScriptedLayer layer = new(FileIo.Open(path, OpenFlags.ReadOnly), path) { FailingSearches = 1 };
        PlainImage source = Own(new PlainImage(layer, path));
        Assert.False(source.KnowsHoles);
        ServedClient client = Serve();
        AssertHolds(client, client.MapRegistered(8 * Page, source), expected);
        Assert.False(source.KnowsHoles);
        Assert.Equal(1, layer.Searches);
    }

    [Theory]
    [InlineData(15, false)]
    [InlineData(16, true)]
    public void Nobody_waits_for_more_than_a_search_of_bounded_length(int pieces, bool isKnown)
    {
        string path = WriteSparse(1 << 20, Enumerable.Range(0, 16).ToDictionary(piece => piece * 16L, _ => (byte)3));
        PlainImage source = Own(PlainImage.Unsearched(new ImageLayer(FileIo.Open(path, OpenFlags.ReadOnly), path, isDirect: false), path, pieces));
        Assert.False(source.KnowsHoles);
        Assert.Equal(Errno.OK, source.Fetch(0, PageBytes, s_buffer, out SourcePages page));
        source.Release(in page);
        Assert.Equal(isKnown, source.KnowsHoles);
        Assert.Equal(Errno.OK, source.Fetch(8 * PageBytes, PageBytes, s_buffer, out SourcePages hole));
        source.Release(in hole);
    }

    private static void WriteTo(string path)
    {
        using FileStream file = new(path, FileMode.Open, FileAccess.Write);
        file.Position = 50 * PageBytes;
        file.WriteByte(0);
    }

    private string WriteRandom(int pages, int seed, out byte[] expected)
    {
        byte[] values = new byte[pages];
        Random random = new(seed);
        for (int i = 0; i < pages; i++)
            values[i] = (byte)random.Next(1, 256);
        expected = values;
        return WriteSparse((long)pages * PageBytes, Enumerable.Range(0, pages).ToDictionary(page => (long)page, page => values[page]));
    }

    private PlainImage Plain(string path, long? checkInterval = null)
    {
        ImageLayer layer = new(FileIo.Open(path, OpenFlags.ReadOnly), path, isDirect: false);
        return Own(checkInterval is { } interval ? new PlainImage(layer, path) { CheckInterval = interval } : new PlainImage(layer, path));
    }
}
