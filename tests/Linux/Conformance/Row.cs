namespace UffdManager.Linux.Tests.Conformance;

/// <summary>One row of the matrix.</summary>
/// <param name="Name">That of the kernel's own test where there is one.</param>
/// <param name="Memory">Memory types it applies to.</param>
/// <param name="Places">Where it applies.</param>
/// <param name="Body">What must hold.</param>
internal sealed record Row(string Name, MemoryKinds Memory, Places Places, Action<Arena> Body);
