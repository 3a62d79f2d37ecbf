using System.Text.Json;
using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>
/// What outlives the manager of a shared image: what it is, and one byte for each page that says whether it is filled. A memfd: header and document in its
/// first two pages, then the bytes. Any thread; the bytes are changed by compare-and-swap.
/// </summary>
internal sealed class ImageMemory : IDisposable
{
    /// <summary>"UFFDIMAG".</summary>
    private const ulong Magic = 0x4741_4d49_4446_4655;
    private const uint Version = 1;
    private const int VersionAt = 8;
    private const int LengthAt = 12;
    private const int CheckAt = 16;
    private const int DocumentAt = 64;
    private const int MaximumDocument = StatesAt - DocumentAt;
    private const int StatesAt = 8192;

    private readonly nuint _mapping;
    private readonly ulong _bytes;

    private ImageMemory(SafeMemfd memfd, nuint mapping, ulong bytes)
    {
        Memfd = memfd;
        _mapping = mapping;
        _bytes = bytes;
    }

    /// <summary>Owned.</summary>
    public SafeMemfd Memfd { get; }

    /// <summary>Makes the state of an image of so many bytes, nothing filled.</summary>
    /// <exception cref="SyscallException">No descriptors or memory.</exception>
    public static ImageMemory Create(long imageBytes)
    {
        SafeMemfd memfd = Linux.Memfd.Create("uffd-manager:image", MemfdFlags.AllowSealing);
        try
        {
            ulong bytes = SizeFor(imageBytes);
            Linux.Memfd.Truncate(memfd, (long)bytes);
            _ = Linux.Memfd.AddSeals(memfd, MemfdSeals.Shrink | MemfdSeals.Grow | MemfdSeals.Seal);
            return new ImageMemory(memfd, NativePages.MapShared(memfd, 0, bytes, writable: true), bytes);
        }
        catch
        {
            memfd.Dispose();
            throw;
        }
    }

    /// <summary>The state that an earlier manager left behind.</summary>
    /// <param name="memfd">Owned from now on, also when this throws.</param>
    /// <param name="document">What the image is.</param>
    /// <exception cref="CorruptStateException">It is not the state of an image that this build can read.</exception>
    /// <exception cref="SyscallException">No memory.</exception>
    public static ImageMemory Open(SafeMemfd memfd, out ImageDocument document)
    {
        ImageMemory? memory = null;
        try
        {
            ulong bytes = (ulong)FileIo.Stat(memfd).Size;
            if (bytes < StatesAt || (Linux.Memfd.GetSeals(memfd) & MemfdSeals.Shrink) == 0)
            {
                throw new CorruptStateException("the image's state is truncated, or nobody's");
            }

            memory = new ImageMemory(memfd, NativePages.MapShared(memfd, 0, bytes, writable: true), bytes);
            document = memory.Read();
            return memory;
        }
        catch
        {
            memory?.Unmap();
            memfd.Dispose();
            throw;
        }
    }

    /// <summary>Whether a descriptor looks like the state of an image.</summary>
    public static bool IsOne(SafeFd memfd)
    {
        return StateChecks.FirstWordOf(memfd) == Magic;
    }

    /// <summary>State of one page.</summary>
    public ref byte State(long page) => ref NativePages.At<byte>(_mapping + StatesAt + (nuint)page);

    /// <summary>Whether pages are all in one state.</summary>
    public bool AreAll(long first, int pages, byte state) => NativePages.AsSpan(_mapping + StatesAt + (nuint)first, pages).IndexOfAnyExcept(state) < 0;

    /// <summary>The next stretch of states that are not all 0, which the memory has never been made for; empty when none follows.</summary>
    public Span<byte> NextStretch(ref long from, long pages)
    {
        const int MostBytes = 1 << 20;
        long data = FileIo.SeekData(Memfd, StatesAt + from) - StatesAt;
        if (data < 0 || data >= pages)
        {
            return default;
        }

        from = Math.Max(from, data);
        Span<byte> stretch = NativePages.AsSpan(_mapping + StatesAt + (nuint)from, (int)Math.Min(pages - from, MostBytes));
        from += stretch.Length;
        return stretch;
    }

    /// <summary>Says what the image is; once.</summary>
    public void Write(ImageDocument document)
    {
        byte[] bytes = JsonSerializer.SerializeToUtf8Bytes(document, StateJson.Default.ImageDocument);
        if (bytes.Length > MaximumDocument)
        {
            // Without it a successor cannot serve what shows the image, and says so.
            return;
        }

        bytes.CopyTo(NativePages.AsSpan(_mapping + DocumentAt, bytes.Length));
        NativePages.At<uint>(_mapping + VersionAt) = Version;
        NativePages.At<int>(_mapping + LengthAt) = bytes.Length;
        NativePages.At<uint>(_mapping + CheckAt) = StateChecks.Crc(bytes);
        Volatile.Write(ref NativePages.At<ulong>(_mapping), Magic);
    }

    public void Dispose()
    {
        Unmap();
        Memfd.Dispose();
    }

    private static ulong SizeFor(long imageBytes) => StatesAt + PageSize.AlignUp((ulong)imageBytes / (ulong)PageSize.Base, (ulong)PageSize.Base);

    private void Unmap() => NativePages.Unmap(_mapping, _bytes);

    private ImageDocument Read()
    {
        uint version = NativePages.At<uint>(_mapping + VersionAt);
        int length = NativePages.At<int>(_mapping + LengthAt);
        if (NativePages.At<ulong>(_mapping) != Magic || version is 0 or > Version || length is <= 0 or > MaximumDocument)
        {
            throw new CorruptStateException($"the image's state has no header that this build can read (version {version})");
        }

        byte[] bytes = NativePages.AsSpan(_mapping + DocumentAt, length).ToArray();
        if (StateChecks.Crc(bytes) != NativePages.At<uint>(_mapping + CheckAt))
        {
            throw new CorruptStateException("the image's document does not check");
        }

        try
        {
            ImageDocument? document = JsonSerializer.Deserialize(bytes, StateJson.Default.ImageDocument);
            return document is not null && document.Length > 0 && SizeFor(document.Length) == _bytes
                ? document
                : throw new CorruptStateException("the image's state is of another size than the image");
        }
        catch (JsonException failure)
        {
            throw new CorruptStateException($"the image's document cannot be read: {failure.Message}");
        }
    }
}
