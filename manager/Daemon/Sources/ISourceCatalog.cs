using UffdManager.Daemon.Tenancy;
using UffdManager.Linux;

namespace UffdManager.Daemon.Sources;

/// <summary>
/// Opens the page sources that clients name or hand over. Any thread. May wait for the file system, also for one that the client serves
/// itself (FUSE): never call it on a thread that serves other clients.
/// </summary>
public interface ISourceCatalog
{
    /// <summary>Opens a file below one of the tenant's source directories, or an image that the tenant may use.</summary>
    /// <param name="tenant">Who asks.</param>
    /// <param name="path">
    /// Absolute, or relative to a source directory; symbolic links and ways out of the directory are refused. Or the name of an image: with "image:" before it, or alone
    /// where no source directory has such a file.
    /// </param>
    SourceDecision OpenPath(TenantGrant tenant, string path);

    /// <summary>
    /// As <see cref="OpenPath"/>, for what an operator has named, to whom an image of that name comes first: a tenant that may write into one of its source directories could
    /// put a file of the image's name there.
    /// </summary>
    SourceDecision OpenNamed(TenantGrant tenant, string path);

    /// <summary>Uses an open file of the client as a source.</summary>
    /// <param name="tenant">Who asks.</param>
    /// <param name="descriptor">A regular file open for reading; taken over whatever the outcome.</param>
    SourceDecision AdoptDescriptor(TenantGrant tenant, SafeFile descriptor);
}
