using UffdManager.Linux;

namespace UffdManager.Engine.Fetch;

/// <summary>
/// Native buffers in powers of two from one page to 2 MiB, reused. One per fault loop; not thread safe. What it holds is bounded by the
/// tenants' limits of pages in flight.
/// </summary>
internal sealed class BufferPool : IDisposable
{
    private const int MaximumShift = 21;

    private readonly Stack<nuint>[] _free = new Stack<nuint>[MaximumShift + 1];
    private readonly List<(nuint Address, ulong Bytes)> _all = [];

    /// <summary>A buffer of at least this many bytes, or 0 when the system has no memory.</summary>
    public nuint TryRent(int bytes, out int capacity)
    {
        int shift = Math.Max(int.Log2(PageSize.Base), int.Log2(bytes - 1) + 1);
        capacity = 1 << shift;
        Stack<nuint> stack = _free[shift] ??= new Stack<nuint>();
        if (stack.TryPop(out nuint address))
        {
            return address;
        }

        address = NativePages.TryMap((ulong)capacity);
        if (address != 0)
        {
            _all.Add((address, (ulong)capacity));
        }

        return address;
    }

    public void Return(nuint buffer, int capacity) => _free[int.Log2(capacity)].Push(buffer);

    public void Dispose()
    {
        foreach ((nuint address, ulong bytes) in _all)
        {
            NativePages.Unmap(address, bytes);
        }

        _all.Clear();
    }
}
