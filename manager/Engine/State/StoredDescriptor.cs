using UffdManager.Linux;

namespace UffdManager.Engine.State;

/// <summary>A descriptor that outlived an earlier manager.</summary>
/// <param name="Name">The name it was stored under.</param>
/// <param name="Descriptor">Owned by whoever holds this record.</param>
public sealed record StoredDescriptor(string Name, SafeFd Descriptor);
