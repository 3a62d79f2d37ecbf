namespace UffdManager.Cli.Completion;

/// <summary>An argument as completion scripts see it.</summary>
/// <param name="Name">What the help calls it.</param>
/// <param name="Kind">Of which kind its value is.</param>
/// <param name="Words">With <see cref="ValueKind.Word"/>, which.</param>
/// <param name="Repeats">Whether more of the same may follow.</param>
internal sealed record CompletionArgument(string Name, ValueKind Kind, IReadOnlyList<string> Words, bool Repeats);
