namespace UffdManager.Cli.Completion;

/// <summary>An option as completion scripts see it.</summary>
/// <param name="Names">All its names, with dashes; the long one first.</param>
/// <param name="Description">One sentence.</param>
/// <param name="TakesValue">Whether a value follows.</param>
/// <param name="Kind">Of which kind.</param>
/// <param name="Words">With <see cref="ValueKind.Word"/>, which.</param>
/// <param name="Repeats">Whether it may be given several times.</param>
internal sealed record CompletionOption(
    IReadOnlyList<string> Names, string Description, bool TakesValue, ValueKind Kind, IReadOnlyList<string> Words, bool Repeats);
