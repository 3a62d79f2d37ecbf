using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;

namespace UffdManager.Engine.State;

/// <summary>What the engine does not know by itself when it restores sessions. Called on the thread that restores, one call at a time.</summary>
public interface IRestoreOwner
{
    /// <summary>The tenant that is accounted for a restored session.</summary>
    /// <param name="name">Its name when the session was made.</param>
    /// <param name="weight">Its weight at that time.</param>
    /// <param name="recorded">Its limits at that time.</param>
    /// <returns>Never null: a tenant that the configuration no longer knows goes on with what is recorded.</returns>
    Tenant TenantOf(string name, int weight, TenantLimits recorded);

    /// <summary>A page source lives on; called before the sessions that use it are restored.</summary>
    /// <param name="source">Take a reference to keep it.</param>
    /// <param name="ownerTag">What <see cref="PageSource.OwnerTag"/> was.</param>
    void SourceRestored(PageSource source, string ownerTag);

    /// <summary>A shared image lives on.</summary>
    /// <param name="image">Take a reference to keep it.</param>
    /// <param name="ownerTag">What <see cref="SharedImage.OwnerTag"/> was.</param>
    void ImageRestored(SharedImage image, string ownerTag);
}
