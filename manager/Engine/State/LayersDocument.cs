namespace UffdManager.Engine.State;

/// <summary>The files of a layered source, whose descriptors are all stored under the source's name.</summary>
/// <param name="PageBytes">In which unit a layer has pages.</param>
/// <param name="Files">From the base upwards.</param>
internal sealed record LayersDocument(int PageBytes, IReadOnlyList<LayerDocument> Files)
{
    /// <summary>Whether it is a file that nobody has added as an image; not in documents of early builds.</summary>
    public bool IsPlain { get; init; }
}
