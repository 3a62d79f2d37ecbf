using UffdManager.Engine.Sources;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Units;

public sealed class WarmChunksTests : IDisposable
{
    private const int Chunks = 3;
    private const int WantedFrom = 32;
    private const int RenewedFrom = 200;
    private readonly string _path = Path.GetTempFileName();
    private readonly SafeFile _file;
    private readonly FileSource _owner;
    private readonly nuint _mapping;
    private readonly WarmChunks _warm;

    public WarmChunksTests()
    {
        File.WriteAllBytes(_path, new byte[Chunks * WarmChunks.ChunkBytes]);
        _file = FileIo.Open(_path, OpenFlags.ReadOnly);
        _owner = new FileSource(FileIo.Open(_path, OpenFlags.ReadOnly), _path);
        _mapping = NativePages.MapShared(_file, 0, Chunks * WarmChunks.ChunkBytes, writable: false);
        _warm = new WarmChunks(_owner, _mapping, Chunks * WarmChunks.ChunkBytes);
    }

    public void Dispose()
    {
        NativePages.Unmap(_mapping, Chunks * WarmChunks.ChunkBytes);
        _owner.Dispose();
        _file.Dispose();
        File.Delete(_path);
    }

    [Fact]
    public void Piece_is_warmed_when_it_goes_on_being_wanted_and_not_before()
    {
        for (int i = 1; i < WantedFrom; i++)
        {
            Assert.False(Want(0));
        }

        for (int i = 0; i < WantedFrom; i++)
        {
            Assert.False(Want(1));
        }

        AwaitWarm(1);

        // Pieces are warmed in the order in which they were asked for: had the first been, it would be warm before the second.
        Assert.False(Want(0));
        AwaitWarm(0);
        Assert.False(Want(2));
    }

    [Fact]
    public void Piece_whose_promise_is_over_is_warm_as_long_as_it_is_in_memory()
    {
        AwaitWarm(0);
        long later = MonotonicClock.NowNanoseconds + (long)TimeSpan.FromHours(1).TotalNanoseconds;
        Assert.True(_warm.IsWarm(0, PageSize.Base, later));

        // The surest way out of the page cache.
        using (FileStream file = new(_path, FileMode.Open))
        {
            file.SetLength(0);
        }

        Assert.False(_warm.IsWarm(0, PageSize.Base, later));
        Assert.False(Want(0));
    }

    [Fact]
    public void Piece_whose_promise_is_over_is_mapped_anew_only_when_it_is_wanted_all_the_time()
    {
        AwaitWarm(0);
        Assert.Equal(Errno.OK, NativePages.Advise(_mapping, WarmChunks.ChunkBytes, MemoryAdvice.DontNeed));
        long later = MonotonicClock.NowNanoseconds + (long)TimeSpan.FromHours(1).TotalNanoseconds;

        long pace = (long)TimeSpan.FromMilliseconds(20).TotalNanoseconds;
        for (int i = 0; i < 2 * RenewedFrom; i++)
        {
            Assert.True(_warm.IsWarm(0, PageSize.Base, later));
            later += pace;
        }

        // Warmed in the order in which they were asked for.
        AwaitWarm(2);
        Assert.False(IsMapped());
        Eventually.True(() => _warm.IsWarm(0, PageSize.Base, later) && IsMapped(), "piece 0 is mapped again");
    }

    // The highest bit of a page's word in /proc/PID/pagemap.
    private bool IsMapped()
    {
        using FileStream pagemap = new("/proc/self/pagemap", FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
        Span<byte> word = stackalloc byte[sizeof(ulong)];
        pagemap.Position = (long)((ulong)_mapping / (ulong)PageSize.Base * sizeof(ulong));
        pagemap.ReadExactly(word);
        return BitConverter.ToInt64(word) < 0;
    }

    private bool Want(int chunk) => _warm.IsWarm(chunk * WarmChunks.ChunkBytes, PageSize.Base, MonotonicClock.NowNanoseconds);

    // What leaves memory in between is asked for again.
    private void AwaitWarm(int chunk) => Eventually.True(() => Want(chunk), $"piece {chunk} is warm");
}
