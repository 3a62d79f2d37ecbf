namespace UffdManager.Engine.Tracking;

/// <summary>Neighbouring pages with other contents than before.</summary>
/// <param name="Start">First byte.</param>
/// <param name="Length">Bytes.</param>
/// <param name="PageBytes">Size of each page, bytes.</param>
public readonly record struct DirtyRun(ulong Start, ulong Length, ulong PageBytes);
