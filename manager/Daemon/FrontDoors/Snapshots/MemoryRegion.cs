namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>A part of a VM's memory.</summary>
/// <param name="Start">Its first byte in the address space of the VM's process.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Offset">Where its contents begin in the image.</param>
internal readonly record struct MemoryRegion(ulong Start, ulong Length, long Offset);
