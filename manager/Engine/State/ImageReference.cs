namespace UffdManager.Engine.State;

/// <summary>A shared image, whose memory and state are stored as <c>image-Id</c>.</summary>
internal sealed record ImageReference(long Id);
