using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Client;

/// <summary>
/// What a registered range contains. At most one of <see cref="SourcePath"/>, <see cref="SourceFile"/> and <see cref="Object"/>; with none of them the
/// policy's source serves.
/// </summary>
public sealed record RegisterOptions
{
    /// <summary>Anonymous memory under the session's default policy.</summary>
    public static RegisterOptions Default { get; } = new();

    /// <summary>Which faults are handled. Default: missing pages.</summary>
    public RegisterModes Modes { get; init; } = RegisterModes.Missing;

    /// <summary>Name of the policy; empty for the session's default.</summary>
    public string Policy { get; init; } = "";

    /// <summary>A file below one of the directories that the tenant may read.</summary>
    public string SourcePath { get; init; } = "";

    /// <summary>A regular file open for reading. Only borrowed: the client keeps a duplicate.</summary>
    public SafeFile? SourceFile { get; init; }

    /// <summary>The shared object that the range maps.</summary>
    public MappedObject? Object { get; init; }

    /// <summary>Byte of the source or object at which the range begins; a multiple of the page size.</summary>
    public ulong SourceOffset { get; init; }

    /// <summary>After MADV_DONTNEED the source's contents come back, as in a private mapping of a file; without it zeros do.</summary>
    public bool RemoveMeansSource { get; init; }

    /// <summary>Pages are installed write-protected; needs <see cref="RegisterModes.WriteProtect"/>.</summary>
    public bool WriteProtected { get; init; }

    /// <summary>One page that carries the fork token instead of contents.</summary>
    public bool Mailbox { get; init; }

    internal RegisterFlags Flags =>
        (SourceFile is null ? RegisterFlags.None : RegisterFlags.SourceFd)
        | (Object is null ? RegisterFlags.None : RegisterFlags.FromMap)
        | (RemoveMeansSource ? RegisterFlags.RemoveMeansSource : RegisterFlags.None)
        | (WriteProtected ? RegisterFlags.WriteProtected : RegisterFlags.None)
        | (Mailbox ? RegisterFlags.Mailbox : RegisterFlags.None);
}
