using UffdManager.Engine.Images;

namespace UffdManager.Daemon.Images;

/// <summary>An image at one moment.</summary>
/// <param name="Definition">As it was added.</param>
/// <param name="Layers">It and those that it is a diff upon, the base first; shorter when one of them is missing.</param>
/// <param name="Source">Where it is served from, not referenced; null while nobody has wanted it since the daemon began.</param>
internal sealed record ImageReading(ImageDefinition Definition, IReadOnlyList<ImageDefinition> Layers, LayeredSource? Source)
{
    /// <summary>The image that is missing below the lowest layer; null when all are there.</summary>
    public string? MissingBase => Layers[0].Base;
}
