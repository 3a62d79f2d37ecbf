using UffdManager.Engine.Images;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Images;

/// <summary>
/// No memory is left for the chunk cache, although its limit is not reached. A read into its memory says EFAULT then, as the page that it goes to cannot be had.
/// </summary>
public sealed class CacheWithoutMemoryTests : ImageTest
{
    private const int Pages = 128;

    [Fact]
    public void Pages_come_past_a_cache_that_can_have_no_memory_and_stay_in_it_again_when_it_can()
    {
        ChunkCache cache = CacheOf(64);
        LayeredSource source = Random(Pages, 4, cache, out byte[] expected, out ScriptedLayer layer);
        layer.Failure = Errno.EFAULT;
        ServedClient it = Serve();
        ulong at = it.MapRegistered(Pages * Page, source);
        for (int page = 0; page < Pages; page += 8)
        {
            layer.FailNext(1);
            Assert.Equal(expected[page], it.Client.ReadByte(at + ((ulong)page * Page)));
            Assert.Equal((0L, 0L), (cache.Read().Bytes, source.CachedBytes()));
        }

        // Nobody has been told that the file is at fault.
        Assert.Null(Seen<SourceFailed>());
        Assert.Null(source.ChangedFile);
        AssertHolds(it, at, expected);
        Assert.Equal((long)Pages * PageBytes, cache.Read().Bytes);
        Assert.Equal(cache.Read().Bytes, source.CachedBytes());
    }

    [Fact]
    public void Warming_ends_where_there_is_no_memory_and_what_was_read_stays()
    {
        ChunkCache cache = CacheOf(64);
        LayeredSource source = Random(1024, 4, cache, out _, out ScriptedLayer layer);
        layer.Failure = Errno.EFAULT;
        bool isFirst = true;
        Assert.Equal(Errno.ENOSPC, source.Warm(0, long.MaxValue, _ =>
        {
            layer.FailNext(isFirst ? 1 : 0);
            isFirst = false;
            return true;
        }));
        Assert.Equal(1 << 20, cache.Read().Bytes);
        Assert.Equal(1 << 20, source.CachedBytes());
    }
}
