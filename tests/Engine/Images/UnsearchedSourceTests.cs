using UffdManager.Engine.Images;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Images;

/// <summary>Images whose files are searched when the first page is wanted.</summary>
public sealed class UnsearchedSourceTests : ImageTest
{
    // For the life of the test process.
    private static readonly nuint s_buffer = NativePages.Map(1 << 20);

    [Fact]
    public void File_is_searched_once_however_many_want_the_first_page()
    {
        LayeredSource source = Make(out ScriptedLayer layer);
        Assert.Equal((0, null, 0L), (layer.Searches, source.DataBytes, source.CachedBytes()));
        layer.Hold();
        Thread[] threads = [.. Enumerable.Range(0, 8).Select(i => new Thread(() => Assert.Equal(5, ReadPage(source, 3, s_buffer + ((nuint)i * PageBytes)))))];
        foreach (Thread thread in threads)
            thread.Start();
        Eventually.True(() => threads.Count(thread => (thread.ThreadState & ThreadState.WaitSleepJoin) != 0) == 8, "all to wait");
        Assert.Equal(1, layer.Searches);

        // A fault loop waits for nothing, and knows of no zeros before it knows.
        Assert.Equal(SourceAnswer.Slow, source.TryGet(0, PageBytes, 0, out _));
        Assert.False(source.StartsWithZeros(0, 8 * PageBytes, out long run));
        Assert.Equal(8 * PageBytes, run);
        layer.Release();
        foreach (Thread thread in threads)
            thread.Join();
        Assert.Equal((1, 1), (layer.Searches, layer.Reads));
        Assert.Equal(PageBytes, source.DataBytes);
        Assert.Equal(SourceAnswer.Zero, source.TryGet(0, PageBytes, 0, out _));
    }

    [Fact]
    public void Search_that_fails_is_told_to_each_and_the_next_attempt_searches_again()
    {
        LayeredSource source = Make(out ScriptedLayer layer);
        layer.FailingSearches = 2;
        Assert.Equal(Errno.EIO, source.Fetch(0, PageBytes, s_buffer, out _));
        Assert.Equal(Errno.EIO, source.Warm(0, 8 * PageBytes, _ => true));
        Assert.Null(source.ChangedFile);
        Assert.Equal(5, ReadPage(source, 3, s_buffer));
        Assert.Equal(3, layer.Searches);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Hole_of_a_file_that_has_changed_is_no_zero_of_the_image(bool whileItIsSearched)
    {
        LayeredSource source = Make(out ScriptedLayer layer);
        Errno errno = Errno.OK;
        Thread thread = new(() => errno = source.Fetch(3 * PageBytes, PageBytes, s_buffer, out _));
        if (whileItIsSearched)
        {
            layer.Hold();
            thread.Start();
            Eventually.True(() => layer.Searches == 1, "the search to begin");
        }

        using (SafeFile file = FileIo.Open(layer.Description, OpenFlags.ReadWrite))
        {
            Memfd.Truncate(file, 0);
            Memfd.Truncate(file, 8 * PageBytes);
        }

        File.SetLastWriteTimeUtc(layer.Description, DateTime.UnixEpoch);
        if (!whileItIsSearched)
            thread.Start();
        layer.Release();
        thread.Join();
        Assert.Equal(Errno.ESTALE, errno);
        Assert.Equal(SourceAnswer.Slow, source.TryGet(3 * PageBytes, PageBytes, 0, out _));
        Assert.False(source.StartsWithZeros(3 * PageBytes, PageBytes, out _));
        Assert.Equal(layer.Description, source.ChangedFile);
    }

    [Fact]
    public void Client_waits_for_the_search_and_others_do_not_wait_with_it()
    {
        LayeredSource slow = Make(out ScriptedLayer layer);
        LayeredSource other = Random(8, 1, CacheOf(8), out byte[] expected, out _);
        ServedClient one = Serve(Alice);
        ServedClient two = Serve(Bob);
        ulong atOne = one.MapRegistered(8 * Page, slow, new Policy { Name = "failing", OnUnavailable = Verdict.Wait, RetryBackoff = TimeSpan.FromMilliseconds(1) });
        ulong atTwo = two.MapRegistered(8 * Page, other);
        layer.FailingSearches = 1;
        layer.Hold();
        PendingReply reply = one.Client.Begin($"hash {atOne} {8 * Page}", 1);
        Eventually.True(() => layer.Searches == 1, "the search to begin");
        AssertHolds(two, atTwo, expected);
        layer.Release();
        _ = reply.AwaitValue();
        AssertHolds(one, atOne, [0, 0, 0, 5, 0, 0, 0, 0]);
        Assert.Equal(2, layer.Searches);
    }

    [Fact]
    public void Image_that_nobody_wanted_is_closed_as_any_other()
    {
        LayeredSource source = Make(out ScriptedLayer layer);
        source.AddReference().Dispose();
        Assert.Equal(0, layer.Searches);
    }

    private LayeredSource Make(out ScriptedLayer layer)
    {
        layer = Open(WriteSparse(8 * PageBytes, new Dictionary<long, byte> { [3] = 5 }));
        return Own(LayeredSource.Unsearched([layer], PageBytes, CacheOf(8), "image"));
    }
}
