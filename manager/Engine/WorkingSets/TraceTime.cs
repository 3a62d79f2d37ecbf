using System.Numerics;

namespace UffdManager.Engine.WorkingSets;

/// <summary>Times since the start of a run, in one byte: exact below 4 ms, then to a quarter of their power of two, up to 18 hours.</summary>
internal static class TraceTime
{
    public const byte Maximum = 105;

    public static byte From(long milliseconds)
    {
        if (milliseconds <= 0)
        {
            return 0;
        }

        int exponent = BitOperations.Log2((ulong)milliseconds);
        long quarter = exponent >= 2 ? (milliseconds >> (exponent - 2)) & 3 : (milliseconds << (2 - exponent)) & 3;
        return (byte)Math.Min(1 + (4 * exponent) + quarter, Maximum);
    }

    /// <summary>The time that everything of this step lies before, milliseconds.</summary>
    public static long End(byte time)
    {
        int exponent = time / 4;
        return time == 0 ? 1 : (((4L + (time % 4)) << exponent) + 3) >> 2;
    }
}
