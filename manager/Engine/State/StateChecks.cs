using System.Numerics;
using System.Runtime.InteropServices;
using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>How state memory tells its own words from garbage.</summary>
internal static class StateChecks
{
    private const ulong OffsetMask = (1UL << 48) - 1;
    private const int CheckShift = 48;

    /// <summary>A cell: 48 bits of value and 16 of check, so that one store is either there in full or not at all. 0 stays 0.</summary>
    public static ulong Seal(ulong value) => value | (CheckOf(value) << CheckShift);

    /// <summary>The value of a cell.</summary>
    public static ulong Open(ulong cell) => cell & OffsetMask;

    /// <summary>Whether a cell is one of ours.</summary>
    public static bool IsIntact(ulong cell) => Seal(Open(cell)) == cell;

    /// <summary>CRC-32C of bytes.</summary>
    public static uint Crc(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (ulong word in words)
        {
            crc = BitOperations.Crc32C(crc, word);
        }

        foreach (byte rest in bytes[(words.Length * sizeof(ulong))..])
        {
            crc = BitOperations.Crc32C(crc, rest);
        }

        return ~crc;
    }

    /// <summary>The first eight bytes of a file; 0 when it has fewer or cannot be read.</summary>
    public static ulong FirstWordOf(SafeFd file)
    {
        Span<byte> word = stackalloc byte[sizeof(ulong)];
        return FileIo.Read(file, word, 0, out int read) == Errno.OK && read == word.Length ? BitConverter.ToUInt64(word) : 0;
    }

    private static ulong CheckOf(ulong value) => (value * 0x9E37_79B9_7F4A_7C15) >> CheckShift;
}
