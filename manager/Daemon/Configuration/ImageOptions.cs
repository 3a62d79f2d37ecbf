namespace UffdManager.Daemon.Configuration;

/// <summary>Images as a service: section <c>images</c>. Changes need a restart.</summary>
public sealed record ImageOptions
{
    /// <summary>Absolute path of the directory in which images are remembered.</summary>
    public required string Directory { get; init; }

    /// <summary>Absolute paths of the directories below which operators without all rights may add files.</summary>
    public required IReadOnlyList<string> SourceDirectories { get; init; }

    /// <summary>Memory for chunks of images, bytes; 0 keeps none.</summary>
    public required long CacheBytes { get; init; }

    /// <summary>Sizes that the objects which clients map may have together, bytes; 0 lets nobody map any.</summary>
    public required long MapBytes { get; init; }

    /// <inheritdoc/>
    public bool Equals(ImageOptions? other) =>
        other is not null && Directory == other.Directory && CacheBytes == other.CacheBytes && MapBytes == other.MapBytes && SourceDirectories.SequenceEqual(other.SourceDirectories);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Directory, CacheBytes, MapBytes);
}
