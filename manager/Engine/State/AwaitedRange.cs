namespace UffdManager.Engine.State;

/// <summary>A range of which an event is still to come.</summary>
/// <param name="Start">First byte.</param>
/// <param name="End">First byte after.</param>
/// <param name="IsDisplaced">True: somebody else has it by now, and the unmap that comes is not his. False: what was there has moved away.</param>
/// <param name="Aside">Where what was displaced is kept, an address from <see cref="StateLayout.AsideBase"/> on; 0 when nothing is.</param>
internal readonly record struct AwaitedRange(ulong Start, ulong End, bool IsDisplaced, ulong Aside = 0);
