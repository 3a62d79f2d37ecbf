using UffdManager.Linux;

namespace UffdManager.Engine.Images;

/// <summary>What is known of an image once its files have been searched: which layer has which page, and the memory for its chunks.</summary>
internal sealed class ImageContents : IDisposable
{
    private ImageContents(LayerMap map, ChunkStore store)
    {
        Map = map;
        Store = store;
    }

    public LayerMap Map { get; }

    public ChunkStore Store { get; }

    /// <summary>Searches the files. Waits for the disk: up to two system calls for each piece of data.</summary>
    /// <param name="layers">From the base upwards.</param>
    /// <param name="pageBytes">A page of which a layer has any byte is that layer's.</param>
    /// <param name="end">Bytes of the image, in whole pages.</param>
    /// <exception cref="ArgumentException">A file says nothing of its holes, or they have too many pieces.</exception>
    /// <exception cref="SyscallException">A file cannot be searched; no descriptors or memory.</exception>
    public static ImageContents Read(IReadOnlyList<ImageLayer> layers, int pageBytes, long end)
    {
        LayerMap map = LayerMap.Read(layers, pageBytes);
        return new ImageContents(map, new ChunkStore(map, end));
    }

    /// <inheritdoc/>
    public void Dispose() => Store.Dispose();
}
