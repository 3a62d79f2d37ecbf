using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine.Images;

/// <summary>
/// The memory in which chunks of one image are kept: a memfd of the image's size, in which a chunk lies where it lies in the image, and everything else is
/// a hole. So what lies side by side in the image does so in memory, and one UFFDIO_COPY takes any range of it. Any thread.
/// </summary>
/// <remarks>
/// <para>A chunk is Empty, then somebody's who fills it, then Filled, and one day somebody's who gives it up. Each step is one compare-and-swap of its word, which also
/// counts who reads from the chunk right now (pins): only a chunk without pins is given up, because its pages would turn to zeros under the reader.</para>
/// <para>The word also counts how often the chunk was wanted since the cache last looked, up to three times.</para>
/// </remarks>
internal sealed class ChunkStore : IDisposable
{
    /// <summary>What is read at a time: as much as the kernel reads ahead by default.</summary>
    public const int ChunkBytes = 128 * 1024;

    private const int StageMask = 3;
    private const int Empty = 0;
    private const int Filling = 1;
    private const int Filled = 2;
    private const int Evicting = 3;
    private const int TouchOne = 1 << 2;
    private const int TouchMask = 3 << 2;
    private const int KindMask = 3 << 4;
    private const int AllZero = 1 << 4;
    private const int HasZeros = 2 << 4;
    private const int PinOne = 1 << 8;

    private readonly SafeMemfd _memfd;
    private readonly ulong _bytes;
    private readonly int[] _states;

    // By chunk, which account of the cache it was entered for; under the lock of the cache.
    private readonly ushort[] _accounts;
    private readonly object _changed = new();

    /// <summary>Makes room for an image, which takes no memory yet.</summary>
    /// <exception cref="SyscallException">No descriptors, no address space.</exception>
    public ChunkStore(LayerMap map, long imageBytes)
    {
        _bytes = PageSize.AlignUp((ulong)imageBytes, ChunkBytes);
        _states = new int[_bytes / ChunkBytes];
        _accounts = new ushort[_states.Length];
        for (int chunk = 0; chunk < _states.Length; chunk++)
        {
            long start = OffsetOf(chunk);
            long end = Math.Min(start + ChunkBytes, imageBytes);
            _states[chunk] = map.IsZero(start, end) ? AllZero : map.IsData(start, end) ? 0 : HasZeros;
        }

        _memfd = Memfd.Create("uffd-manager:cache", MemfdFlags.AllowSealing);
        try
        {
            Memfd.Truncate(_memfd, (long)_bytes);
            _ = Memfd.AddSeals(_memfd, MemfdSeals.Shrink | MemfdSeals.Grow | MemfdSeals.Seal);
            Address = NativePages.MapShared(_memfd, 0, _bytes, writable: true);

            // Memory is counted in chunks; a huge folio would be sixteen of them.
            _ = NativePages.Advise(Address, _bytes, MemoryAdvice.NoHugePage);
        }
        catch
        {
            _memfd.Dispose();
            throw;
        }
    }

    /// <summary>Where byte 0 of the image lies.</summary>
    public nuint Address { get; }

    public static int ChunkOf(long offset) => (int)(offset / ChunkBytes);

    public static long OffsetOf(int chunk) => (long)chunk * ChunkBytes;

    /// <summary>The account of the cache that a chunk was entered for; only of one that is filled and not pinned. Under the lock of the cache.</summary>
    public ref ushort Account(int chunk) => ref _accounts[chunk];

    /// <summary>Whether a chunk has pages that no layer has, so that one must look closer to know a zero.</summary>
    public bool MayHaveZeros(int chunk) => (Volatile.Read(ref _states[chunk]) & (AllZero | HasZeros)) != 0;

    /// <summary>Whether nothing of a chunk is in any layer.</summary>
    public bool IsAllZero(int chunk) => (Volatile.Read(ref _states[chunk]) & AllZero) != 0;

    public bool IsFilled(int chunk) => (Volatile.Read(ref _states[chunk]) & StageMask) == Filled;

    public bool IsBusy(int chunk) => (Volatile.Read(ref _states[chunk]) & StageMask) is Filling or Evicting;

    /// <summary>Keeps chunks from being given up until <see cref="Unpin"/>; false, and nothing is kept, when one is not filled.</summary>
    public bool TryPin(int first, int count)
    {
        for (int i = 0; i < count; i++)
        {
            if (!TryPin(ref _states[first + i]))
            {
                Unpin(first, i);
                return false;
            }
        }

        return true;
    }

    /// <summary>Lets chunks go.</summary>
    public void Unpin(int first, int count)
    {
        for (int i = 0; i < count; i++)
        {
            Interlocked.Add(ref _states[first + i], -PinOne);
        }
    }

    /// <summary>Makes the caller the one who fills a chunk.</summary>
    public bool TryBeginFill(int chunk) => TryStep(chunk, Empty, Filling);

    /// <summary>Ends that; a filled chunk is pinned for the caller.</summary>
    public void EndFill(int chunk, bool isFilled)
    {
        if (!isFilled)
        {
            Punch(chunk);
        }

        Leave(chunk, isFilled ? Filled | PinOne : Empty);
    }

    /// <summary>Makes the caller the one who gives a chunk up; false when it is pinned.</summary>
    public bool TryBeginEvict(int chunk) => TryStep(chunk, Filled, Evicting);

    /// <summary>Gives its memory back.</summary>
    public void EndEvict(int chunk)
    {
        Punch(chunk);
        Leave(chunk, Empty);
    }

    /// <summary>Waits until nobody fills the chunk or gives it up. On fetch threads only.</summary>
    public void WaitWhileBusy(int chunk)
    {
        lock (_changed)
        {
            while (IsBusy(chunk))
            {
                Monitor.Wait(_changed);
            }
        }
    }

    /// <summary>How often the chunk was wanted since the last call, up to three times.</summary>
    public int TakeTouches(int chunk) => (Interlocked.And(ref _states[chunk], ~TouchMask) & TouchMask) / TouchOne;

    /// <summary>Counts one of these times as seen; false when there is none.</summary>
    public bool TakeTouch(int chunk)
    {
        ref int state = ref _states[chunk];
        int seen = Volatile.Read(ref state);
        while ((seen & TouchMask) != 0)
        {
            int found = Interlocked.CompareExchange(ref state, seen - TouchOne, seen);
            if (found == seen)
            {
                return true;
            }

            seen = found;
        }

        return false;
    }

    public void Dispose()
    {
        NativePages.Unmap(Address, _bytes);
        _memfd.Dispose();
    }

    private static bool TryPin(ref int state)
    {
        int seen = Volatile.Read(ref state);
        while ((seen & StageMask) == Filled)
        {
            int touched = (seen & TouchMask) == TouchMask ? 0 : TouchOne;
            int found = Interlocked.CompareExchange(ref state, seen + PinOne + touched, seen);
            if (found == seen)
            {
                return true;
            }

            seen = found;
        }

        return false;
    }

    // Only an unpinned chunk takes a step; what was counted of it starts anew.
    private bool TryStep(int chunk, int from, int to)
    {
        ref int state = ref _states[chunk];
        int seen = Volatile.Read(ref state);
        while ((seen & StageMask) == from && seen < PinOne)
        {
            int found = Interlocked.CompareExchange(ref state, (seen & KindMask) | to, seen);
            if (found == seen)
            {
                return true;
            }

            seen = found;
        }

        return false;
    }

    // Nobody else changes the word of a chunk that is busy.
    private void Leave(int chunk, int next)
    {
        lock (_changed)
        {
            Volatile.Write(ref _states[chunk], (_states[chunk] & KindMask) | next);
            Monitor.PulseAll(_changed);
        }
    }

    // If the kernel refuses, what stays there are the right bytes of the image all the same.
    private void Punch(int chunk) =>
        _ = FileIo.Fallocate(_memfd, FallocateMode.PunchHole | FallocateMode.KeepSize, OffsetOf(chunk), ChunkBytes);
}
