using System.Buffers;

namespace UffdManager.Linux;

/// <summary>
/// A mapping as <see cref="Memory{T}"/>: the one step from an address to managed types that needs unsafe code. Derived types decide how the
/// mapping came about and how it ends.
/// </summary>
public abstract unsafe class MappedMemory : MemoryManager<byte>
{
    private readonly nuint _address;

    /// <summary>Shows the mapping at <paramref name="address"/> of <paramref name="length"/> bytes; does not own it.</summary>
    protected MappedMemory(nuint address, ulong length)
    {
        _address = address;
        Length = length;
    }

    /// <summary>First byte.</summary>
    public nuint Address => _address;

    /// <summary>Bytes mapped; may be more than a span can show.</summary>
    public ulong Length { get; }

    /// <summary>Whether the mapping is gone; it must not be looked at any more.</summary>
    protected bool IsUnmapped { get; set; }

    /// <summary>A window; valid until the mapping ends.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Outside the mapping.</exception>
    /// <exception cref="ObjectDisposedException">The mapping is gone.</exception>
    public Span<byte> Slice(ulong offset, int length)
    {
        ObjectDisposedException.ThrowIf(IsUnmapped, this);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((ulong)length, Length - offset, nameof(length));
        return new Span<byte>((void*)(_address + (nuint)offset), length);
    }

    /// <summary>The whole mapping, or its first 2 GiB less one byte.</summary>
    public override Span<byte> GetSpan() => Slice(0, (int)Math.Min(Length, int.MaxValue));

    /// <summary>An address; nothing needs to be pinned, the memory does not move.</summary>
    public override MemoryHandle Pin(int elementIndex = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(elementIndex);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((ulong)elementIndex, Length, nameof(elementIndex));
        ObjectDisposedException.ThrowIf(IsUnmapped, this);
        return new MemoryHandle((void*)(_address + (nuint)elementIndex), pinnable: this);
    }

    /// <summary>Nothing was pinned.</summary>
    public override void Unpin()
    {
    }
}
