using UffdManager.Engine.Images;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Images;

/// <summary>Images in sparse files, written page by page, and what they must read as.</summary>
public abstract class ImageTest : EngineTest
{
    internal const int PageBytes = 4096;
    internal const int Chunk = ChunkStore.ChunkBytes;

    private int _files;

    /// <summary>Writes a sparse file that has the pages that a map names, each filled with a byte.</summary>
    internal string WriteSparse(long bytes, IReadOnlyDictionary<long, byte> pages)
    {
        string path = Temp.Combine($"layer-{++_files}");
        using FileStream file = new(path, FileMode.CreateNew);
        file.SetLength(bytes);
        byte[] page = new byte[PageBytes];
        foreach ((long number, byte value) in pages)
        {
            page.AsSpan().Fill(value);
            file.Position = number * PageBytes;
            file.Write(page, 0, (int)Math.Min(PageBytes, bytes - file.Position));
        }

        return path;
    }

    internal static ScriptedLayer Open(string path) => new(FileIo.Open(path, OpenFlags.ReadOnly), path);

    /// <summary>An image of one file of random pages without holes; the expected byte of each page comes with it.</summary>
    internal LayeredSource Random(int pages, int seed, ChunkCache cache, out byte[] expected, out ScriptedLayer layer)
    {
        byte[] values = new byte[pages];
        Random random = new(seed);
        for (int i = 0; i < pages; i++)
            values[i] = (byte)random.Next(1, 256);
        expected = values;
        layer = Open(WriteSparse((long)pages * PageBytes, Enumerable.Range(0, pages).ToDictionary(page => (long)page, page => values[page])));
        return Own(new LayeredSource([layer], PageBytes, cache, $"image {seed}"));
    }

    internal static ChunkCache CacheOf(int chunks) => new((long)chunks * Chunk);

    /// <summary>Reads one page as a fault would, past the cache if it must; what it is filled with.</summary>
    internal static byte ReadPage(LayeredSource source, int page, nuint buffer)
    {
        Assert.Equal(Errno.OK, source.Fetch((long)page * PageBytes, PageBytes, buffer, out Sources.SourcePages pages));
        ReadOnlySpan<byte> bytes = NativePages.AsSpan(pages.Address, pages.Length);
        byte value = bytes[0];
        Assert.Equal(-1, bytes.IndexOfAnyExcept(value));
        source.Release(in pages);
        return value;
    }

    internal static void AssertHolds(ServedClient client, ulong at, ReadOnlySpan<byte> expected, int thread = 0)
    {
        for (int page = 0; page < expected.Length; page++)
        {
            ulong address = at + ((ulong)page * Page);
            Assert.True(client.Client.Run($"differ {address} {Page} {expected[page]}", thread) == 0, $"page {page} is not filled with {expected[page]}");
        }
    }

    internal static ulong HashOf(byte[] pages)
    {
        byte[] contents = new byte[pages.Length * PageBytes];
        for (int page = 0; page < pages.Length; page++)
            contents.AsSpan(page * PageBytes, PageBytes).Fill(pages[page]);
        return ClientProcess.Hash(contents);
    }
}
