using UffdManager.Engine.Sources;

namespace UffdManager.Engine;

/// <content>What outlives the manager although no session uses it yet.</content>
public sealed partial class FaultEngine
{
    /// <summary>Stores an image for the next manager, for as long as it lives. Regions do so by themselves; who hands one out before does it here.</summary>
    public void Keep(SharedImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        image.Keep(_keeper);
    }
}
