using System.CommandLine.Parsing;
using System.Globalization;

namespace UffdManager.Cli;

/// <summary>Whole numbers on the command line, with bounds and words that name the option instead of a type of the runtime.</summary>
internal static class NumberArgument
{
    /// <summary>A parser for one number.</summary>
    public static Func<ArgumentResult, long> Parser(long least, long most) => result => Parse(result, result.Tokens.Single().Value, least, most);

    /// <summary>A parser for an option that need not be there.</summary>
    public static Func<ArgumentResult, long?> OptionalParser(long least, long most) => result => Parse(result, result.Tokens.Single().Value, least, most);

    /// <summary>A parser for an option that may be given several times.</summary>
    public static Func<ArgumentResult, long[]> ManyParser(long least, long most) => result => [.. result.Tokens.Select(token => Parse(result, token.Value, least, most))];

    /// <summary>A parser for ids of sessions.</summary>
    public static Func<ArgumentResult, long[]> IdsParser { get; } = ManyParser(0, long.MaxValue);

    private static long Parse(ArgumentResult result, string text, long least, long most)
    {
        if (long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long value) && value >= least && value <= most)
            return value;
        string who = result.Parent is OptionResult option ? option.Option.Name : result.Argument.HelpName ?? result.Argument.Name;
        string bounds = most == long.MaxValue ? $"of at least {least}" : $"from {least} to {most}";
        result.AddError($"{who}: '{text}' is not a whole number {bounds}.");
        return 0;
    }
}
