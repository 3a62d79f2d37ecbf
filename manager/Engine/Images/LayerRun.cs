namespace UffdManager.Engine.Images;

/// <summary>Pages that one layer has.</summary>
/// <param name="Start">Byte offset, page aligned.</param>
/// <param name="End">First byte behind it, page aligned.</param>
/// <param name="Layer">Which, from the base upwards.</param>
internal readonly record struct LayerRun(long Start, long End, int Layer);
