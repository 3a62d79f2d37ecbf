using UffdManager.Engine.Sources;

namespace UffdManager.Daemon.Sources;

/// <summary>
/// One reference to a page source, dropped by <see cref="Dispose"/>. Regions and shared images take references of their own, so the lease is only
/// held while a request is being handled.
/// </summary>
public sealed class SourceLease : IDisposable
{
    private PageSource? _source;

    internal SourceLease(PageSource source, ulong device, ulong inode)
        : this(source, IdentityOf(device, inode))
    {
    }

    internal SourceLease(PageSource source, string identity)
    {
        _source = source;
        Identity = identity;
    }

    /// <summary>The source. Valid until <see cref="Dispose"/>.</summary>
    public PageSource Source => _source ?? throw new ObjectDisposedException(nameof(SourceLease));

    /// <summary>
    /// Device and inode number of a file, or what an image is made of: the same text means the same contents while any lease or region holds them.
    /// </summary>
    public string Identity { get; }

    /// <summary>The text for a file.</summary>
    internal static string IdentityOf(ulong device, ulong inode) => $"{device:x}:{inode:x}";

    /// <inheritdoc/>
    public void Dispose() => Interlocked.Exchange(ref _source, null)?.Dispose();
}
