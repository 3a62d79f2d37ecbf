using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Client;

/// <summary>What a shared object contains. At most one of <see cref="SourcePath"/> and <see cref="SourceFile"/>.</summary>
public sealed record MapOptions
{
    /// <summary>Name of the policy; empty for the session's default.</summary>
    public string Policy { get; init; } = "";

    /// <summary>A file below one of the directories that the tenant may read.</summary>
    public string SourcePath { get; init; } = "";

    /// <summary>A regular file open for reading. Only borrowed: the client keeps a duplicate.</summary>
    public SafeFile? SourceFile { get; init; }

    /// <summary>Byte of the source at which the object begins; a multiple of the page size.</summary>
    public ulong SourceOffset { get; init; }

    /// <summary>Clients of the tenant that give the same name share the object; empty to share by source.</summary>
    public string Name { get; init; } = "";

    /// <summary>Whether this client writes to the object.</summary>
    public bool Writable { get; init; }

    internal MapFlags Flags =>
        (Writable ? MapFlags.Writable : MapFlags.None) | (SourceFile is null ? MapFlags.None : MapFlags.SourceFd);
}
