using UffdManager.Engine.Sessions;

namespace UffdManager.Engine;

/// <summary>How an attach ended.</summary>
/// <param name="Session">The session, or null.</param>
/// <param name="Error">Why not, or null.</param>
public sealed record AttachResult(Session? Session, EngineError? Error);
