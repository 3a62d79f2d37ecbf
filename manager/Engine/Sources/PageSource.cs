using UffdManager.Engine.Policies;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Sources;

/// <summary>Where the contents of pages come from. Shared by sessions of several fault loops; every method may run on any thread.</summary>
public abstract class PageSource : IDisposable
{
    private const int MaximumDescription = 300;

    private readonly Lock _keepGate = new();
    private int _references = 1;
    private long _storeId;
    private DescriptorKeeper? _keeper;

    /// <summary>Short text for logs and status: "zero", "file /srv/image.mem".</summary>
    public abstract string Description { get; }

    /// <summary>Bytes that can be read; <see cref="long.MaxValue"/> for sources without an end.</summary>
    public abstract long Length { get; }

    /// <summary>Whether every page reads as zeros, so that the kernel's own zero fill is an equal substitute.</summary>
    public virtual bool IsZero => false;

    /// <summary>
    /// By what a later run knows the same contents again; null when there is nothing to know them by, and then no working set is recorded.
    /// </summary>
    public virtual SourceIdentity? Identity => null;

    /// <summary>Path of the file when it was opened, for whoever keeps things beside it; it may name another file by now. Null for none.</summary>
    public virtual string? Location => null;

    /// <summary>Number under which the descriptor is stored for the next manager; 0 while it is not.</summary>
    internal long StoreId => Volatile.Read(ref _storeId);

    /// <summary>What a successor would have to be given to serve from here; empty for a source that needs nothing.</summary>
    private protected virtual IReadOnlyList<SafeFd> Descriptors => [];

    /// <summary>Of the descriptor, or of the newest one, as it was when it was opened.</summary>
    private protected FileStatus Status { get; set; }

    /// <summary>Whether the source is one for the life of the process, so that references to it are not counted.</summary>
    private protected virtual bool IsImmortal => false;

    /// <summary>
    /// Answers from memory, on a fault loop: must not wait for anything.
    /// </summary>
    /// <param name="offset">Byte offset in the source, page aligned.</param>
    /// <param name="length">Bytes wanted, page aligned.</param>
    /// <param name="scratch">A buffer of the calling loop of at least <paramref name="length"/> bytes.</param>
    /// <param name="page">On <see cref="SourceAnswer.Ready"/>: where the bytes are, and how many (page aligned, at least one page). They stay
    /// there until <see cref="Release"/>.</param>
    public abstract SourceAnswer TryGet(long offset, int length, nuint scratch, out SourcePages page);

    /// <summary>Reads from wherever the bytes are, on a fetch thread: may wait.</summary>
    /// <param name="offset">Byte offset in the source, page aligned.</param>
    /// <param name="length">Bytes wanted, page aligned.</param>
    /// <param name="buffer">A buffer of at least <paramref name="length"/> bytes that stays valid until the pages are installed.</param>
    /// <param name="page">On success: where the bytes are (the buffer or memory of the source) and how many. They stay there until <see cref="Release"/>.</param>
    /// <returns><see cref="Errno.OK"/>, or why the bytes cannot be had: <see cref="Errno.EIO"/> for a failing device,
    /// <see cref="Errno.ENXIO"/> for an offset beyond the end, <see cref="Errno.ESTALE"/> for a file that is not what it was. The last two are final.</returns>
    public abstract Errno Fetch(long offset, int length, nuint buffer, out SourcePages page);

    /// <summary>As <see cref="Fetch(long, int, nuint, out SourcePages)"/>, for a tenant that is charged for what stays in memory afterwards.</summary>
    public virtual Errno Fetch(long offset, int length, nuint buffer, Tenant payer, out SourcePages page) => Fetch(offset, length, buffer, out page);

    /// <summary>
    /// As Fetch, for a piece of many that lie scattered, each of which was announced by <see cref="WillNeed"/>: what lies around it is not worth a read.
    /// </summary>
    public virtual Errno FetchPiece(long offset, int length, nuint buffer, Tenant payer, out SourcePages page) => Fetch(offset, length, buffer, payer, out page);

    /// <summary>Gives back what <see cref="TryGet"/> or Fetch said, once; until then the bytes stay where they are. Any thread; never waits.</summary>
    public virtual void Release(in SourcePages page)
    {
    }

    /// <summary>Whether a range begins with zeros, known without reading anything. On a fault loop: must not wait.</summary>
    /// <param name="offset">Byte offset in the source, page aligned.</param>
    /// <param name="length">Bytes, above 0.</param>
    /// <param name="run">So many bytes are zeros, or so many had better be read; at least one page, at most <paramref name="length"/>.</param>
    public virtual bool StartsWithZeros(long offset, long length, out long run)
    {
        run = length;
        return IsZero;
    }

    /// <summary>Where a range may have anything but zeros, on a fetch thread: may wait. For whoever brings pages that nobody waits for.</summary>
    /// <param name="offset">Byte offset in the source, page aligned.</param>
    /// <param name="length">Bytes, above 0.</param>
    /// <returns>The first piece, within the range; empty at the end of the range when all of it is zeros.</returns>
    public virtual (long Start, long End) FindData(long offset, long length) => (offset, offset + length);

    /// <summary>Starts reading ahead, without waiting; a hint.</summary>
    public virtual void WillNeed(long offset, long length)
    {
    }

    /// <summary>A sealed object shows this source from now on: what is filled of it need not be kept here as well. Until <see cref="Detach"/>; no reference is taken.</summary>
    internal virtual void Attach(SharedImage image)
    {
    }

    /// <summary>The last reference to an object has been dropped.</summary>
    internal virtual void Detach(SharedImage image)
    {
    }

    /// <summary>A page of a sealed object has been filled. On fault loops: must not wait.</summary>
    /// <param name="image">The object, to which the caller has a reference.</param>
    /// <param name="offset">Of the page, in this source.</param>
    internal virtual void Shared(SharedImage image, long offset)
    {
    }

    /// <summary>
    /// Called once, on whatever thread drops the last reference, after the descriptors are closed. Set by the creator before the source
    /// is shared.
    /// </summary>
    public Action? Released { get; set; }

    /// <summary>
    /// What the creator wants to find again with it after a restart, opaque to the engine; at most 1024 bytes of UTF-8. Set before it is shared.
    /// </summary>
    public string OwnerTag { get; set; } = string.Empty;

    /// <summary>
    /// Takes one more reference, dropped by <see cref="Dispose()"/>. A source is born with one, its creator's; every region and every shared image
    /// takes its own.
    /// </summary>
    /// <returns>This source.</returns>
    /// <exception cref="ObjectDisposedException">The last reference was dropped already.</exception>
    public PageSource AddReference()
    {
        if (IsImmortal)
        {
            return this;
        }

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

    /// <summary>Drops one reference; the last one closes descriptors and mappings.</summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Stores the descriptor, once, for as long as the source lives. Any thread.</summary>
    /// <remarks>
    /// Two fault loops may come with the first region of a source at once. Whoever returns finds it stored; and it is stored under one name only,
    /// because a service manager keeps an open file once, under the name that it heard first: to take another one back could take the only one.
    /// </remarks>
    /// <returns>False when somebody keeps descriptors and has no room for these: nothing may be served from it that is to outlive this manager. To be tried again.</returns>
    internal bool Keep(DescriptorKeeper keeper)
    {
        IReadOnlyList<SafeFd> descriptors = Descriptors;
        if (descriptors.Count == 0 || StoreId != 0)
        {
            return true;
        }

        // The store does not wait for anything, so neither does a loop that comes second.
        lock (_keepGate)
        {
            if (StoreId == 0)
            {
                _keeper = keeper;
                Volatile.Write(ref _storeId, keeper.StoreSource([.. descriptors]));
            }

            return StoreId != 0;
        }
    }

    /// <summary>Goes on under the number that an earlier manager had stored the descriptor under.</summary>
    internal void KeepAs(DescriptorKeeper keeper, long id)
    {
        _keeper = keeper;
        Volatile.Write(ref _storeId, id);
    }

    /// <summary>What a successor must know beside the descriptor.</summary>
    internal SourceDocument Describe()
    {
        string description = Description.Length > MaximumDescription ? Description[..MaximumDescription] : Description;
        return new SourceDocument(StoreId, this is MemfdSource, description, Status.Device, Status.Inode, OwnerTag) { Layers = DescribeLayers() };
    }

    /// <summary>What a successor must know of the files of a layered source; null for any other.</summary>
    private protected virtual LayersDocument? DescribeLayers() => null;

    /// <summary>Releases descriptors and mappings; called once.</summary>
    protected abstract void Close();

    private void CloseAndTell()
    {
        _keeper?.RemoveSource(StoreId);
        Close();
        Released?.Invoke();
    }

    /// <summary>Drops one reference.</summary>
    protected virtual void Dispose(bool disposing)
    {
        if (!IsImmortal && Interlocked.Decrement(ref _references) == 0)
        {
            if (EngineThread.IsFaultLoop)
            {
                // To close a file of FUSE waits for its server, which may be the client itself; to unmap a large file takes its time.
                ThreadPool.UnsafeQueueUserWorkItem(static source => source.CloseAndTell(), this, preferLocal: false);
            }
            else
            {
                CloseAndTell();
            }
        }
    }
}
