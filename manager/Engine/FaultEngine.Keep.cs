using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine;

/// <content>What outlives the manager although no session uses it yet.</content>
public sealed partial class FaultEngine
{
    /// <summary>Stores an image for the next manager, for as long as it lives. Regions do so by themselves; who hands one out before does it here.</summary>
    /// <returns>Why it cannot be stored, and may not be handed out; null when it is.</returns>
    public EngineError? Keep(SharedImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        return image.Keep(_keeper) ? null : NoRoomToKeep("one more mapped object");
    }

    internal static EngineError NoRoomToKeep(string what) => new(
        EngineErrorKind.Limit, Errno.EDQUOT, $"the service manager has no room for the descriptors of {what}: raise FileDescriptorStoreMax= of the unit, or --store-max of uffd-supervise");
}
