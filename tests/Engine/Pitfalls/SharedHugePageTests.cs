using UffdManager.Engine.Images;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tests.Images;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Pitfalls;

/// <summary>
/// Where the machine gives huge pages to shared memory, one page that is written brings 511 others with it, which are there and zeros. Neither does the manager make such pages, nor does it take for filled what came
/// with one that somebody else has made.
/// </summary>
public sealed class SharedHugePageTests : ImageTest
{
    private const UffdRegisterModes Both = UffdRegisterModes.Missing | UffdRegisterModes.Minor;
    private const int ReadWrite = 3;

    public static TheoryData<string, bool> Images => new()
    {
        { "always", false },
        { "always", true },
        { "force", false },
    };

    [SkippableTheory]
    [MemberData(nameof(Images))]
    public void Filled_page_of_a_shared_image_brings_no_others_with_it(string setting, bool isWritable)
    {
        using SharedHugePages everywhere = new(setting);
        ScriptedSource source = Scripted(4 * MiB);
        using SharedImage image = SharedImage.Create(source, 0, 4 << 20, isWritable, "test");
        using SafeFd handed = image.HandOut(isWritable);
        ServedClient it = Serve();
        ulong at = Map(it, image, isWritable);
        it.AssertHolds(at + (3 * Page), Page, source, 3 * (long)Page);
        Assert.Equal([(3 * (long)Page, 4 * (long)Page)], DataOf(handed, 4 << 20));
        it.AssertHolds(at, 4 * MiB, source);
    }

    /// <remarks>
    /// The huge pages are made by whoever else may map the object and has not registered what he maps: here the test, around a page that is filled (which the kernel does not do while somebody has it registered), and
    /// where nothing is.
    /// </remarks>
    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void Huge_pages_that_somebody_makes_in_a_shared_image_are_not_taken_for_its_contents(bool isWritable)
    {
        using SharedHugePages everywhere = new("always");
        ScriptedSource source = Scripted(4 * MiB);
        using SharedImage image = SharedImage.Create(source, 0, 4 << 20, isWritable, "test");
        using SafeFd handed = image.HandOut(isWritable);
        ServedClient first = Serve(Alice);
        first.AssertHolds(Map(first, image, isWritable) + Page, Page, source, (long)Page);
        first.Client.Kill();
        WaitForEvent<SessionEnded>(ended => ended.Session == first.Session);
        MakeHugePage(handed, 0);
        ServedClient one = Serve(Alice);
        ServedClient two = Serve(Bob);
        ulong atOne = Map(one, image, isWritable);
        ulong atTwo = Map(two, image, isWritable);
        MakeHugePage(handed, (long)(2 * MiB));
        one.AssertHolds(atOne, 4 * MiB, source);
        Assert.Equal(4 * MiB, Engine.PrefetchAsync(two.Session, atTwo, 4 * MiB).Finish().Value);
        two.AssertHolds(atTwo, 4 * MiB, source);
        Assert.Equal(0, two.Status().Faults);
    }

    [SkippableFact]
    public void Huge_page_that_somebody_makes_under_a_prefetch_is_not_taken_for_its_contents()
    {
        using SharedHugePages everywhere = new("always");
        ScriptedSource source = Scripted(4 * MiB);
        using SharedImage image = SharedImage.Create(source, 0, 4 << 20, writable: false, "test");
        using SafeFd handed = image.HandOut(false);
        ServedClient it = Serve();
        ulong at = Map(it, image, isWritable: false);
        source.Hold();
        Task<EngineResult> prefetch = Engine.PrefetchAsync(it.Session, at, 4 * MiB);
        source.WaitForFetches(1);
        MakeHugePage(handed, 0);
        source.Release();
        Assert.Null(prefetch.Finish().Error);
        it.AssertHolds(at, 4 * MiB, source);
    }

    [SkippableFact]
    public void Huge_page_that_somebody_makes_in_an_object_is_not_copied_into_clones_of_its_image()
    {
        using SharedHugePages everywhere = new("always");
        LayeredSource source = Random(1024, 3, CacheOf(64), out byte[] expected, out _);
        using SharedImage image = SharedImage.Create(source, 0, 4 << 20, writable: false, "test");
        using SafeFd handed = image.HandOut(false);
        ServedClient first = Serve();
        ulong mapped = Map(first, image, isWritable: false);
        Assert.Equal(expected[1], first.Client.ReadByte(mapped + Page));
        first.Client.Kill();
        WaitForEvent<SessionEnded>(ended => ended.Session == first.Session);
        MakeHugePage(handed, 0);
        ServedClient clone = Serve(Bob);
        ulong at = clone.MapRegistered(4 * MiB, source);
        AssertHolds(clone, at, expected);
        clone.Client.Kill();
    }

    [SkippableFact]
    public void Memory_of_the_chunk_cache_is_what_it_counts()
    {
        using SharedHugePages everywhere = new("always");
        ChunkCache cache = CacheOf(64);
        LayeredSource source = Random(1024, 3, cache, out byte[] expected, out _);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(4 * MiB, source);
        foreach (int page in (int[])[0, 600])
            Assert.Equal(expected[page], it.Client.ReadByte(at + ((ulong)page * Page)));
        Assert.Equal(2 * Chunk, cache.Read().Bytes);
        Assert.Equal(2 * Chunk, CacheMemory());
    }

    private static ulong Map(ServedClient it, SharedImage image, bool isWritable)
    {
        using SafeFd handed = image.HandOut(isWritable);
        int number = it.Client.Give(handed);
        ulong at = it.Client.Run($"mapfd {number} 0 {image.Length} {(isWritable ? 1 : 0)} {ReadWrite}");
        Assert.Null(it.TryRegister(at, (ulong)image.Length, modes: Both, image: image).Error);
        return at;
    }

    // Skips the test where the kernel has no memory in pieces of that size.
    private static void MakeHugePage(SafeFd handed, long offset)
    {
        const long Huge = 2 << 20;
        nuint mapping = NativePages.MapShared(handed, 0, (ulong)(2 * Huge), writable: false);
        try
        {
            // Around what is there only by asking for it; where nothing is whoever reads gets one.
            Errno errno = NativePages.Advise(mapping + (nuint)offset, (ulong)Huge, MemoryAdvice.Collapse);
            _ = Volatile.Read(ref NativePages.At<byte>(mapping + (nuint)offset));
            IReadOnlyList<(long Start, long End)> data = DataOf(handed, 2 * Huge);
            Require.That(data.Any(run => run.Start <= offset && run.End >= offset + Huge), $"needs a huge page of shared memory, which the kernel does not give ({errno.Describe()})");
        }
        finally
        {
            NativePages.Unmap(mapping, (ulong)(2 * Huge));
        }
    }

    private static List<(long Start, long End)> DataOf(SafeFd memory, long length)
    {
        List<(long Start, long End)> runs = [];
        for (long start = FileIo.SeekData(memory, 0); start >= 0 && start < length; start = FileIo.SeekData(memory, runs[^1].End))
            runs.Add((start, Math.Min(length, FileIo.SeekHole(memory, start))));
        return runs;
    }

    private static long CacheMemory()
    {
        string number = Directory.EnumerateFileSystemEntries("/proc/self/fd")
            .Single(number => File.ResolveLinkTarget(number, returnFinalTarget: false)?.FullName.StartsWith("/memfd:uffd-manager:cache", StringComparison.Ordinal) == true);
        using SafeFile memory = FileIo.Open(number, OpenFlags.ReadOnly);
        return DataOf(memory, long.MaxValue).Sum(run => run.End - run.Start);
    }
}
