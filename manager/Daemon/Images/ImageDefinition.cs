namespace UffdManager.Daemon.Images;

/// <summary>An image as it was added, and as it is remembered in the directory of images. Fields that a reader does not know are skipped.</summary>
internal sealed record ImageDefinition
{
    /// <summary>The greatest that this build reads.</summary>
    public const int GreatestVersion = 2;

    /// <summary>Of documents of files that stand alone: nothing in them is new, and a build before reads them.</summary>
    public const int FirstVersion = 1;

    /// <summary>Diffs of earlier versions may not say which contents they were made upon: they are known, and cannot be served.</summary>
    public const int FirstWithBaseIdentity = 2;

    /// <summary>Of the document.</summary>
    public required int Version { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Absolute path of its file.</summary>
    public required string Path { get; init; }

    /// <summary>
    /// The directory of images.sourceDirectories below which it was added, by an operator who may not add files from elsewhere; null for anywhere. It is opened
    /// below there and without following symbolic links for ever: who may write there could put a link to another file in its place.
    /// </summary>
    public string? Below { get; init; }

    /// <summary>Name of the image that the file is a diff upon; null for a file that stands alone.</summary>
    public string? Base { get; init; }

    /// <summary>What the file is a diff upon, by its contents (<see cref="ImageChain.IdentityOf"/>); null without a base, and in old documents.</summary>
    public string? BaseIdentity { get; init; }

    /// <summary>A page of which a diff has any byte is that diff's.</summary>
    public required int PageBytes { get; init; }

    /// <summary>Whether the file is to be read past the page cache where its file system can do that.</summary>
    public bool Direct { get; init; }

    /// <summary>Inode number of the file. Not its device: that has another number after the next boot.</summary>
    public required ulong Inode { get; init; }

    /// <summary>Size of the file.</summary>
    public required long Bytes { get; init; }

    /// <summary>Last change of the file's contents, nanoseconds since 1970.</summary>
    public required long ModifiedNanoseconds { get; init; }

    /// <summary>SHA-256 of the first 64 KiB of the file, in hexadecimal digits.</summary>
    public required string HeaderSha256 { get; init; }

    /// <summary>When it was added.</summary>
    public required DateTimeOffset AddedAt { get; init; }
}
