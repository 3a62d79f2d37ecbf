using UffdManager.Engine.Images;

namespace UffdManager.Daemon.Images;

/// <summary>An image that can be served from.</summary>
/// <param name="Source">One reference to it, owned by whoever got this.</param>
/// <param name="Identity">The same text means the same contents.</param>
internal sealed record OpenedImage(LayeredSource Source, string Identity) : IDisposable
{
    public void Dispose() => Source.Dispose();
}
