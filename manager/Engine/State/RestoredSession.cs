using UffdManager.Engine.Sessions;

namespace UffdManager.Engine.State;

/// <summary>A session that goes on under this manager.</summary>
/// <param name="Session">The session, being served.</param>
/// <param name="OwnerRecord">What its owner had recorded with it; see <see cref="AttachRequest.OwnerRecord"/>.</param>
public sealed record RestoredSession(Session Session, ReadOnlyMemory<byte> OwnerRecord)
{
    internal SessionRecord? Record { get; init; }
}
