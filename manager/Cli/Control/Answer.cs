namespace UffdManager.Cli.Control;

/// <summary>A document of the manager.</summary>
/// <param name="Value">As this version understands it, for people.</param>
/// <param name="Document">As it came, for programs: with the fields of a newer manager that this version does not know.</param>
internal sealed record Answer<T>(T Value, ReadOnlyMemory<byte> Document);
