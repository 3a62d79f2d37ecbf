using UffdManager.Linux;

namespace UffdManager.Engine.Sources;

/// <summary>
/// A memfd that the manager fills from a source, page by page on first touch, and that any number of clients map: one copy in memory.
/// </summary>
/// <remarks>
/// Several fault loops may want the same page at once. Who moves its state from <see cref="Empty"/> to <see cref="Filling"/> by compare-and-swap
/// fills it, everybody else waits and asks again; so a page is filled once, and a late fill can never run over what a client wrote
/// since. That holds for writes through mappings, which fault; a client of a writable image must not write unfilled pages by write(2) on the
/// descriptor, which the manager cannot see. A read-only image is sealed with F_SEAL_FUTURE_WRITE after the manager made its own mapping: no client can write it, whatever it reopens.
/// </remarks>
public sealed class SharedImage : IDisposable
{
    private const byte Empty = 0;
    private const byte Filling = 1;
    private const byte Filled = 2;

    private static long s_lastId;

    private readonly SafeMemfd _memfd;
    private readonly nuint _mapping;
    private readonly nuint _states;
    private readonly ulong _stateBytes;
    private readonly PageSource _source;
    private readonly long _sourceOffset;
    private int _references = 1;

    private SharedImage(SafeMemfd memfd, nuint mapping, nuint states, ulong stateBytes, PageSource source, long sourceOffset, long length, bool writable, string name)
    {
        _memfd = memfd;
        _mapping = mapping;
        _states = states;
        _stateBytes = stateBytes;
        _source = source;
        _sourceOffset = sourceOffset;
        Length = length;
        Writable = writable;
        Name = name;
        Id = Interlocked.Increment(ref s_lastId);
    }

    /// <summary>Unique within the process.</summary>
    public long Id { get; }

    /// <summary>Size in bytes, a multiple of the page size.</summary>
    public long Length { get; }

    /// <summary>Whether clients may write it.</summary>
    public bool Writable { get; }

    /// <summary>For logs and status.</summary>
    public string Name { get; }

    /// <summary>Called once when the last reference is dropped.</summary>
    public Action? Released { get; set; }

    /// <summary>
    /// What the creator wants to find again with it after a restart, opaque to the engine; at most 1024 bytes of UTF-8. Set before it is shared.
    /// </summary>
    public string OwnerTag { get; set; } = string.Empty;

    internal PageSource Source => _source;

    /// <summary>Makes an image; nothing is read yet.</summary>
    /// <param name="source">Where contents come from; the image takes a reference of its own.</param>
    /// <param name="sourceOffset">Byte offset of the image's first byte in the source, page aligned.</param>
    /// <param name="length">Bytes, page aligned, above 0.</param>
    /// <param name="writable">Whether clients may map it writable and share what they write.</param>
    /// <param name="name">For logs and status.</param>
    /// <exception cref="SyscallException">No memory, no descriptors.</exception>
    public static SharedImage Create(PageSource source, long sourceOffset, long length, bool writable, string name)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        ArgumentOutOfRangeException.ThrowIfNegative(sourceOffset);
        if (!PageSize.IsAligned((ulong)length | (ulong)sourceOffset, (ulong)PageSize.Base))
        {
            throw new ArgumentException("length and offset must be multiples of the page size", nameof(length));
        }

        SafeMemfd memfd = Memfd.Create("uffd-manager:" + name, MemfdFlags.AllowSealing);
        nuint mapping = 0;
        try
        {
            Memfd.Truncate(memfd, length);
            mapping = NativePages.MapShared(memfd, 0, (ulong)length, writable: true);

            // A huge folio allocated for one filled page would show its other pages as present zeros to every client.
            _ = NativePages.Advise(mapping, (ulong)length, MemoryAdvice.NoHugePage);
            MemfdSeals seals = MemfdSeals.Shrink | MemfdSeals.Grow | MemfdSeals.Seal;
            Errno sealedAs = Memfd.AddSeals(memfd, writable ? seals : seals | MemfdSeals.FutureWrite);
            if (sealedAs != Errno.OK)
            {
                throw new SyscallException(sealedAs, "fcntl(F_ADD_SEALS)", name);
            }

            ulong stateBytes = PageSize.AlignUp((ulong)length / (ulong)PageSize.Base, (ulong)PageSize.Base);
            nuint states = NativePages.Map(stateBytes);
            return new SharedImage(memfd, mapping, states, stateBytes, source.AddReference(), sourceOffset, length, writable, name);
        }
        catch
        {
            if (mapping != 0)
            {
                NativePages.Unmap(mapping, (ulong)length);
            }

            memfd.Dispose();
            throw;
        }
    }

    /// <summary>A descriptor for a client.</summary>
    /// <param name="writable">False for a description opened read-only.</param>
    /// <returns>Owned by the caller.</returns>
    /// <exception cref="InvalidOperationException">Writable asked of a read-only image.</exception>
    public SafeFd HandOut(bool writable)
    {
        if (writable && !Writable)
        {
            throw new InvalidOperationException($"image {Name} is read-only");
        }

        return writable ? _memfd.Duplicate<SafeMemfd>() : Memfd.ReopenReadOnly(_memfd);
    }

    /// <summary>Takes one more reference, dropped by <see cref="Dispose"/>.</summary>
    /// <exception cref="ObjectDisposedException">The last reference was dropped already.</exception>
    public SharedImage AddReference()
    {
        int seen = Volatile.Read(ref _references);
        while (true)
        {
            ObjectDisposedException.ThrowIf(seen <= 0, this);
            int found = Interlocked.CompareExchange(ref _references, seen + 1, seen);
            if (found == seen)
            {
                return this;
            }

            seen = found;
        }
    }

    /// <summary>Drops one reference; the last one closes the memfd.</summary>
    public void Dispose()
    {
        if (Interlocked.Decrement(ref _references) != 0)
        {
            return;
        }

        if (EngineThread.IsFaultLoop)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static image => image.CloseAndTell(), this, preferLocal: false);
        }
        else
        {
            CloseAndTell();
        }
    }

    private void CloseAndTell()
    {
        NativePages.Unmap(_mapping, (ulong)Length);
        NativePages.Unmap(_states, _stateBytes);
        _memfd.Dispose();
        _source.Dispose();
        Released?.Invoke();
    }

    /// <summary>Whether a range lies within the image. Everything below asks for it first: a region can have grown beyond its image.</summary>
    internal bool Contains(long offset, long length) => offset >= 0 && length <= Length && offset <= Length - length;

    internal bool IsFilled(long offset) => Volatile.Read(ref State(offset)) == Filled;

    /// <summary>Makes the caller the one who fills this page; false if it is filled or somebody else is at it.</summary>
    internal bool TryClaim(long offset) => Interlocked.CompareExchange(ref State(offset), Filling, Empty) == Empty;

    /// <summary>Ends a claim; an unsuccessful one lets the next who asks try again.</summary>
    internal void EndClaim(long offset, bool filled) => Volatile.Write(ref State(offset), filled ? Filled : Empty);

    /// <summary>Gives a claim of the caller's back if the page was never filled under it.</summary>
    internal void EndClaimIfUnfilled(long offset) => Interlocked.CompareExchange(ref State(offset), Empty, Filling);

    internal long SourceOffsetOf(long offset) => _sourceOffset + offset;

    /// <summary>Puts the bytes of a claimed page into the memfd by a system call, so that lack of memory is an errno and no SIGBUS.</summary>
    internal Errno Store(long offset, nuint bytes, int length) => NativePages.CopyChecked(_mapping + (nuint)offset, bytes, (nuint)length);

    /// <summary>Allocates claimed pages as zeros.</summary>
    internal Errno StoreZero(long offset, int length) => NativePages.Advise(_mapping + (nuint)offset, (ulong)length, MemoryAdvice.PopulateWrite);

    private ref byte State(long offset) => ref NativePages.At<byte>(_states + (nuint)(offset / PageSize.Base));
}
