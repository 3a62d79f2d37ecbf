using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Images;
using UffdManager.Engine.Images;

namespace UffdManager.Daemon.Tests.Images;

/// <summary>Registries of images for tests.</summary>
internal static class Registry
{
    /// <summary>One of a directory, with a cache of its own.</summary>
    public static ImageRegistry In(string directory, params string[] sourceDirectories) => In(directory, new ChunkCache(16 << 20), sourceDirectories);

    public static ImageRegistry In(string directory, ChunkCache cache, params string[] sourceDirectories) => new(
        new ImageOptions { Directory = directory, SourceDirectories = sourceDirectories, CacheBytes = 0, MapBytes = 0 }, cache, TimeProvider.System);

    /// <summary>One without images.</summary>
    public static ImageRegistry Empty() => In("/nonexistent");
}
