using System.Buffers;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Client;

/// <summary>
/// A mapping whose pages the manager provides, shown as <see cref="Memory{T}"/>. Disposing it unmaps it; spans taken from it must not be used after that.
/// </summary>
/// <remarks>Read the remarks of <see cref="UffdManagerClient"/> before touching memory that may take long to come.</remarks>
public sealed class ManagedRegion : MappedMemory
{
    private readonly UffdManagerClient _client;

    private ManagedRegion(UffdManagerClient client, nuint address, ulong length)
        : base(address, length) => _client = client;

    /// <summary>Maps new anonymous memory and registers it.</summary>
    /// <param name="client">The session.</param>
    /// <param name="length">Bytes; rounded up to whole pages.</param>
    /// <param name="options">What it contains; null for the session's default policy.</param>
    /// <param name="cancellationToken">Ends the waiting.</param>
    /// <exception cref="UffdManagerException">The manager refuses.</exception>
    /// <exception cref="SyscallException">No memory.</exception>
    public static Task<ManagedRegion> CreateAsync(
        UffdManagerClient client, ulong length, RegisterOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        ulong bytes = WholePages(length);
        return RegisterAsync(client, NativePages.Map(bytes), bytes, options, cancellationToken);
    }

    /// <summary>
    /// Maps a file lazily: its pages are read when they are touched. Writing changes this memory only, as in a private mapping.
    /// </summary>
    /// <param name="client">The session.</param>
    /// <param name="path">A file below one of the directories that the tenant may read.</param>
    /// <param name="offset">Byte at which the mapping begins; a multiple of the page size.</param>
    /// <param name="length">Bytes; rounded up to whole pages.</param>
    /// <param name="cancellationToken">Ends the waiting.</param>
    /// <exception cref="UffdManagerException">The manager refuses.</exception>
    /// <exception cref="SyscallException">No memory.</exception>
    public static Task<ManagedRegion> MapFileAsync(
        UffdManagerClient client, string path, ulong offset, ulong length, CancellationToken cancellationToken = default) =>
        CreateAsync(client, length, new RegisterOptions { SourcePath = path, SourceOffset = offset, RemoveMeansSource = true }, cancellationToken);

    /// <summary>Maps an open file lazily, see <see cref="MapFileAsync(UffdManagerClient, string, ulong, ulong, CancellationToken)"/>.</summary>
    /// <param name="client">The session.</param>
    /// <param name="file">Open for reading; only borrowed.</param>
    /// <param name="offset">Byte at which the mapping begins; a multiple of the page size.</param>
    /// <param name="length">Bytes; rounded up to whole pages.</param>
    /// <param name="cancellationToken">Ends the waiting.</param>
    /// <exception cref="UffdManagerException">The manager refuses.</exception>
    /// <exception cref="SyscallException">No memory.</exception>
    public static Task<ManagedRegion> MapFileAsync(
        UffdManagerClient client, SafeFile file, ulong offset, ulong length, CancellationToken cancellationToken = default) =>
        CreateAsync(client, length, new RegisterOptions { SourceFile = file, SourceOffset = offset, RemoveMeansSource = true }, cancellationToken);

    /// <summary>Maps a shared object: shared where it is writable, else privately, so that all its clients show the same pages.</summary>
    /// <param name="client">The session.</param>
    /// <param name="shared">The object.</param>
    /// <param name="policy">Policy of the range; empty for the session's default.</param>
    /// <param name="cancellationToken">Ends the waiting.</param>
    /// <exception cref="UffdManagerException">The manager refuses.</exception>
    /// <exception cref="SyscallException">No memory.</exception>
    public static Task<ManagedRegion> MapObjectAsync(
        UffdManagerClient client, MappedObject shared, string policy = "", CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        ArgumentNullException.ThrowIfNull(shared);

        // The kernel registers no shared mapping of a file that is open for reading only.
        PageProtection protection = shared.Writable ? PageProtection.Read | PageProtection.Write : PageProtection.Read;
        MappingFlags flags = shared.Writable ? MappingFlags.Shared : MappingFlags.None;
        Errno errno = NativePages.Map(shared.Memfd, 0, shared.Length, protection, flags, 0, out nuint address);
        if (errno != Errno.OK)
            throw new SyscallException(errno, "mmap", $"{shared.Length} bytes of an object");
        var options = new RegisterOptions { Object = shared, Policy = policy, Modes = RegisterModes.Missing | RegisterModes.Minor };
        return RegisterAsync(client, address, shared.Length, options, cancellationToken);
    }

    /// <summary>Asks the manager to fill a part of the region; completes when it is there.</summary>
    /// <returns>Bytes installed.</returns>
    /// <exception cref="UffdManagerException">The manager refuses.</exception>
    public Task<ulong> PrefetchAsync(ulong offset, ulong length, CancellationToken cancellationToken = default)
    {
        CheckPart(offset, length);
        return _client.PrefetchAsync((ulong)Address + offset, length, cancellationToken);
    }

    /// <summary>
    /// Waits until a part of the region is there, in a system call, so that neither the garbage collector nor any other thread waits with it.
    /// </summary>
    /// <exception cref="SyscallException">EFAULT or EHWPOISON: a page cannot be had.</exception>
    public void Populate(ulong offset, ulong length)
    {
        CheckPart(offset, length);
        ulong page = (ulong)Environment.SystemPageSize;
        ulong start = offset & ~(page - 1);
        Errno errno = NativePages.Advise(Address + (nuint)start, WholePages(offset + length - start), MemoryAdvice.PopulateRead);
        if (errno != Errno.OK)
            throw new SyscallException(errno, "madvise(MADV_POPULATE_READ)", $"0x{Address + (nuint)start:x}+{length}");
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (IsUnmapped)
            return;
        IsUnmapped = true;

        // Waits until the manager has read the event that tells it.
        NativePages.Unmap(Address, Length);
        _client.Forget((ulong)Address, Length);
    }

    private static async Task<ManagedRegion> RegisterAsync(
        UffdManagerClient client, nuint address, ulong length, RegisterOptions? options, CancellationToken cancellationToken)
    {
        try
        {
            await client.RegisterAsync((ulong)address, length, options, cancellationToken).ConfigureAwait(false);
            return new ManagedRegion(client, address, length);
        }
        catch
        {
            NativePages.Unmap(address, length);
            throw;
        }
    }

    private static ulong WholePages(ulong bytes)
    {
        ulong page = (ulong)Environment.SystemPageSize;
        return (bytes + page - 1) & ~(page - 1);
    }

    private void CheckPart(ulong offset, ulong length)
    {
        ObjectDisposedException.ThrowIf(IsUnmapped, this);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length - offset);
    }
}
