using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>
/// What the memory of a scripted guest must hold, by what it was told to do and the file it was restored from; nothing of it comes from the manager. What the guest
/// writes tests/native/firecracker/guest.c says.
/// </summary>
internal sealed class GuestMemory
{
    private const ulong Factor = 0xd6e8feb86659fd93;

    private static readonly ulong s_inverse = Inverse();

    private readonly byte[] _image;
    private readonly Dictionary<long, uint> _changes = [];

    public GuestMemory(string image, int pageBytes)
    {
        _image = File.ReadAllBytes(image);
        Contents = [.. _image];
        PageBytes = pageBytes;
    }

    public int PageBytes { get; }

    /// <summary>By offsets in the memory file.</summary>
    public byte[] Contents { get; }

    /// <summary>Offsets of 4 KiB that are otherwise than in the file it was restored from.</summary>
    public IEnumerable<long> Changed => Enumerable.Range(0, Contents.Length / 4096).Select(block => block * 4096L)
        .Where(at => !Contents.AsSpan((int)at, 4096).SequenceEqual(_image.AsSpan((int)at, 4096)));

    public void Write(long page)
    {
        uint generation = Next(page);
        for (int i = 0; i < PageBytes / 8; i++)
            BitConverter.TryWriteBytes(Contents.AsSpan((int)(page * PageBytes) + (i * 8), 8), WordOf(page, generation, i));
    }

    public void Remove(long page)
    {
        Next(page);
        Contents.AsSpan((int)(page * PageBytes), PageBytes).Clear();
    }

    /// <summary>
    /// Every word of an image of a guest that writes, but gives nothing up, is one that this very page can have had: the file's, or one that was written there, by one
    /// write or two that follow each other.
    /// </summary>
    /// <returns>Pages that were written.</returns>
    public int AssertPossible(byte[] image)
    {
        int written = 0;
        for (long page = 0; page < image.Length / PageBytes; page++)
        {
            HashSet<long> generations = [];
            for (int i = 0; i < PageBytes / 8; i++)
            {
                int at = (int)(page * PageBytes) + (i * 8);
                ulong word = BitConverter.ToUInt64(image, at);
                generations.Add(word == BitConverter.ToUInt64(_image, at) ? 0 : GenerationOf(page, word, i));
            }

            Assert.True(
                !generations.Contains(-1) && generations.Max() - generations.Min() <= 1,
                $"page {page} is none of this guest: its words are of the writes {string.Join(", ", generations)}");
            written += generations.Max() > 0 ? 1 : 0;
        }

        return written;
    }

    private uint Next(long page) => _changes[page] = _changes.GetValueOrDefault(page) + 1;

    private static ulong WordOf(long page, uint generation, int i) => unchecked(((((ulong)page << 32) + (generation * 0x10001UL) + (ulong)i) * Factor) | 1);

    // The lowest bit of the product may have been set. -1 for a word that was never written there.
    private static long GenerationOf(long page, ulong word, int i)
    {
        for (ulong bit = 0; bit < 2; bit++)
        {
            ulong count = unchecked(((word - bit) * s_inverse) - ((ulong)page << 32) - (ulong)i);
            if (count < 1UL << 31 && count % 0x10001 == 0)
                return (long)(count / 0x10001);
        }

        return -1;
    }

    // Of the factor, modulo 2^64, by Newton's iteration.
    private static ulong Inverse()
    {
        ulong inverse = Factor;
        for (int i = 0; i < 6; i++)
            inverse = unchecked(inverse * (2 - (Factor * inverse)));
        return inverse;
    }
}
