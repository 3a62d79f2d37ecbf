using UffdManager.Engine.Sources;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>One reference to an object that clients share; dropped by <see cref="Dispose"/>, once.</summary>
internal sealed class ImageLease(SharedImage image) : IDisposable
{
    private SharedImage? _image = image;

    /// <summary>The object. Valid until <see cref="Dispose"/>.</summary>
    public SharedImage Image => _image ?? throw new ObjectDisposedException(nameof(ImageLease));

    public void Dispose() => Interlocked.Exchange(ref _image, null)?.Dispose();
}
