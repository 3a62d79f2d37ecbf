using UffdManager.Engine.State;
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
/// Where all clients are bound by permissions, these do as well: the memory belongs to the manager alone, who may read it, and clients get a description that is open for reading.
/// Then the next manager can go on filling it.
/// </remarks>
public sealed partial class SharedImage : IDisposable
{
    private const byte Empty = 0;
    private const byte Filling = 1;
    private const byte Filled = 2;
    private const uint OwnerMayRead = 0b100_000_000;

    private static long s_lastId;

    private readonly SafeMemfd _memfd;
    private readonly nuint _mapping;
    private readonly ImageMemory _state;
    private readonly PageSource _source;
    private readonly long _sourceOffset;
    private readonly Lock _keepGate = new();
    private int _references = 1;
    private DescriptorKeeper? _keeper;
    private long _storeId;

    private SharedImage(SafeMemfd memfd, nuint mapping, ImageMemory state, PageSource source, long sourceOffset, long length, bool writable, string name)
    {
        _memfd = memfd;
        _mapping = mapping;
        _state = state;
        CanFill = true;
        _source = source;
        _sourceOffset = sourceOffset;
        Length = length;
        Writable = writable;
        Name = name;
    }

    /// <summary>Unique within the process, and the same after a restart.</summary>
    public long Id { get; private init; }

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

    /// <summary>
    /// Whether pages that are not filled yet can be. One that is sealed against writing can be filled only through the mapping that its maker had:
    /// under the next manager what is filled stays shared, and what is not goes to each client as a copy of its own.
    /// </summary>
    public bool CanFill { get; private init; }

    /// <summary>Number under which it is stored for the next manager; 0 while it is not.</summary>
    internal long StoreId => Volatile.Read(ref _storeId);

    /// <summary>
    /// Memory and swap that it takes now, as the kernel counts it, bytes: what was filled, and what clients of a writable one have written, less what they gave back. Any thread.
    /// </summary>
    public long MemoryBytes => FileIo.Stat(_memfd).Blocks * 512;

    internal PageSource Source => _source;

    /// <summary>Makes an image; nothing is read yet.</summary>
    /// <param name="source">Where contents come from; the image takes a reference of its own.</param>
    /// <param name="sourceOffset">Byte offset of the image's first byte in the source, page aligned.</param>
    /// <param name="length">Bytes, page aligned, above 0.</param>
    /// <param name="writable">Whether clients may map it writable and share what they write.</param>
    /// <param name="name">For logs and status.</param>
    /// <param name="byPermission">Whether a read-only image is kept from being written by its permissions, not by a seal. Only for clients who are not the user of the
    /// manager, and have no rights over other users' files.</param>
    /// <exception cref="SyscallException">No memory, no descriptors.</exception>
    public static SharedImage Create(PageSource source, long sourceOffset, long length, bool writable, string name, bool byPermission = false)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        ArgumentOutOfRangeException.ThrowIfNegative(sourceOffset);
        if (!PageSize.IsAligned((ulong)length | (ulong)sourceOffset, (ulong)PageSize.Base))
        {
            throw new ArgumentException("length and offset must be multiples of the page size", nameof(length));
        }

        SafeMemfd memfd = Memfd.Create("uffd-manager:" + name, MemfdFlags.AllowSealing);
        ImageMemory? state = null;
        nuint mapping = 0;
        try
        {
            Memfd.Truncate(memfd, length);
            mapping = NativePages.MapShared(memfd, 0, (ulong)length, writable: true);

            // A huge folio allocated for one filled page would show its other pages as present zeros to every client.
            _ = NativePages.Advise(mapping, (ulong)length, MemoryAdvice.NoHugePage);
            MemfdSeals seals = MemfdSeals.Shrink | MemfdSeals.Grow | MemfdSeals.Seal;
            Errno sealedAs = Memfd.AddSeals(memfd, writable || byPermission ? seals : seals | MemfdSeals.FutureWrite);
            if (sealedAs != Errno.OK)
            {
                throw new SyscallException(sealedAs, "fcntl(F_ADD_SEALS)", name);
            }

            if (byPermission && !writable)
            {
                FileIo.ChangeMode(memfd, OwnerMayRead);
            }

            state = ImageMemory.Create(length);
            SharedImage image = new(memfd, mapping, state, source.AddReference(), sourceOffset, length, writable, name)
            {
                Id = Interlocked.Increment(ref s_lastId),
                IsSealed = !writable && !byPermission,
            };
            image.Attach();
            return image;
        }
        catch
        {
            state?.Dispose();
            if (mapping != 0)
            {
                NativePages.Unmap(mapping, (ulong)length);
            }

            memfd.Dispose();
            throw;
        }
    }

    /// <summary>The image that an earlier manager left behind.</summary>
    /// <param name="memfd">Its memory; owned from now on, also when this throws.</param>
    /// <param name="state">Its state; owned likewise.</param>
    /// <param name="document">What it is.</param>
    /// <param name="source">Where the rest comes from; the image takes a reference of its own.</param>
    /// <exception cref="CorruptStateException">Memory and state are not of one image.</exception>
    /// <exception cref="SyscallException">No memory.</exception>
    internal static SharedImage Restore(SafeMemfd memfd, ImageMemory state, ImageDocument document, PageSource source)
    {
        nuint mapping = 0;
        try
        {
            if (FileIo.Stat(memfd).Size != document.Length)
            {
                throw new CorruptStateException($"image {document.Name} is of another size than its state says");
            }

            bool canFill = (Memfd.GetSeals(memfd) & MemfdSeals.FutureWrite) == 0;
            mapping = NativePages.MapShared(memfd, 0, (ulong)document.Length, canFill);
            _ = NativePages.Advise(mapping, (ulong)document.Length, MemoryAdvice.NoHugePage);
            SharedImage image = new(memfd, mapping, state, source.AddReference(), document.SourceOffset, document.Length, document.Writable, document.Name)
            {
                Id = document.MapId,
                CanFill = canFill,
                IsSealed = !canFill,
                OwnerTag = document.OwnerTag,
            };
            Reserve(document.MapId);
            image.TakeClaimsBack();
            image.Attach();
            return image;
        }
        catch
        {
            if (mapping != 0)
            {
                NativePages.Unmap(mapping, (ulong)document.Length);
            }

            state.Dispose();
            memfd.Dispose();
            throw;
        }
    }

    /// <summary>Stores it for the next manager, once, for as long as it lives. Any thread.</summary>
    /// <returns>See <see cref="PageSource.Keep"/>.</returns>
    internal bool Keep(DescriptorKeeper keeper)
    {
        if (StoreId != 0)
        {
            return true;
        }

        // Whoever returns finds it stored, also if another fault loop has begun with it.
        lock (_keepGate)
        {
            return StoreId != 0 || KeepOnce(keeper);
        }
    }

    /// <summary>Goes on under the number that an earlier manager had stored it under.</summary>
    internal void KeepAs(DescriptorKeeper keeper, long id)
    {
        _keeper = keeper;
        Volatile.Write(ref _storeId, id);
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
        ObjectDisposedException.ThrowIf(!TryAddReference(), this);
        return this;
    }

    /// <summary>As <see cref="AddReference"/>; false when the last reference was dropped already.</summary>
    internal bool TryAddReference()
    {
        int seen = Volatile.Read(ref _references);
        while (seen > 0)
        {
            int found = Interlocked.CompareExchange(ref _references, seen + 1, seen);
            if (found == seen)
            {
                return true;
            }

            seen = found;
        }

        return false;
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

    private bool KeepOnce(DescriptorKeeper keeper)
    {
        if (!_source.Keep(keeper))
        {
            return false;
        }

        long id = keeper.NextId();
        _state.Write(new ImageDocument(id, Id, Name, Length, Writable, _sourceOffset, _source.IsZero ? null : _source.Describe(), OwnerTag));
        if (!keeper.StoreImage(id, _memfd, _state.Memfd))
        {
            return false;
        }

        _keeper = keeper;
        Volatile.Write(ref _storeId, id);
        return true;
    }

    private void CloseAndTell()
    {
        Detach();
        _keeper?.RemoveImage(StoreId);
        NativePages.Unmap(_mapping, (ulong)Length);
        _state.Dispose();
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
    internal void EndClaim(long offset, bool filled)
    {
        if (!filled || !IsSealed)
        {
            Volatile.Write(ref State(offset), filled ? Filled : Empty);
            return;
        }

        // With a full fence: of two loops that fill the last pages of a range at once, one at least must find it whole.
        Interlocked.Exchange(ref State(offset), Filled);
        _source.Shared(this, SourceOffsetOf(offset));
    }

    /// <summary>Gives a claim of the caller's back if the page was never filled under it.</summary>
    internal void EndClaimIfUnfilled(long offset) => Interlocked.CompareExchange(ref State(offset), Empty, Filling);

    internal long SourceOffsetOf(long offset) => _sourceOffset + offset;

    /// <summary>Puts the bytes of a claimed page into the memfd by a system call, so that lack of memory is an errno and no SIGBUS.</summary>
    internal Errno Store(long offset, nuint bytes, int length) => NativePages.CopyChecked(_mapping + (nuint)offset, bytes, (nuint)length);

    /// <summary>Allocates claimed pages as zeros.</summary>
    internal Errno StoreZero(long offset, int length) => NativePages.Advise(_mapping + (nuint)offset, (ulong)length, MemoryAdvice.PopulateWrite);

    private static void Reserve(long id)
    {
        long seen = Volatile.Read(ref s_lastId);
        while (seen < id && Interlocked.CompareExchange(ref s_lastId, id, seen) is var found && found != seen)
        {
            seen = found;
        }
    }

    // Who claimed them is dead. What was written into them nobody has seen: a page is mapped for clients once it is filled.
    private void TakeClaimsBack()
    {
        long from = 0;
        while (_state.NextStretch(ref from, Length / PageSize.Base) is { IsEmpty: false } states)
        {
            foreach (ref byte state in states)
            {
                if (state is not (Empty or Filled))
                {
                    state = Empty;
                }
            }
        }
    }

    private ref byte State(long offset) => ref _state.State(offset / PageSize.Base);
}
