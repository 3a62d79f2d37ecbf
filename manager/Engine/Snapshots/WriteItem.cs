using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>A buffer on its way to the file.</summary>
internal sealed class WriteItem(nuint buffer)
{
    private readonly List<(int Offset, int Length, long FileOffset)> _parts = [];

    public nuint Buffer { get; } = buffer;

    /// <summary>Bytes of the buffer in use.</summary>
    public int Used { get; set; }

    public IReadOnlyList<(int Offset, int Length, long FileOffset)> Parts => _parts;

    /// <summary>Adds pages of the buffer: all of them, or those that are not zeros.</summary>
    public void AddPages(int offset, int length, long fileOffset, bool withZeros)
    {
        for (int i = 0; i < length; i += PageSize.Base)
        {
            if (withZeros || NativePages.AsSpan(Buffer + (nuint)(offset + i), PageSize.Base).ContainsAnyExcept((byte)0))
            {
                Add(offset + i, PageSize.Base, fileOffset + i);
            }
        }
    }

    /// <summary>Adds a part, to the last one where it continues that.</summary>
    public void Add(int offset, int length, long fileOffset)
    {
        if (_parts.Count > 0 && _parts[^1] is var last && last.Offset + last.Length == offset && last.FileOffset + last.Length == fileOffset)
        {
            _parts[^1] = (last.Offset, last.Length + length, last.FileOffset);
        }
        else
        {
            _parts.Add((offset, length, fileOffset));
        }
    }
}
