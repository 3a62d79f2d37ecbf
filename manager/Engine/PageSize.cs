namespace UffdManager.Engine;

/// <summary>Page sizes and alignment.</summary>
internal static class PageSize
{
    /// <summary>The base page of this machine, bytes.</summary>
    public static readonly int Base = Environment.SystemPageSize;

    public static ulong AlignDown(ulong value, ulong size) => value & ~(size - 1);

    public static ulong AlignUp(ulong value, ulong size) => (value + size - 1) & ~(size - 1);

    public static bool IsAligned(ulong value, ulong size) => (value & (size - 1)) == 0;
}
