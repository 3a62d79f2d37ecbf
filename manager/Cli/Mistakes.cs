using System.CommandLine;
using UffdManager.Cli.Output;

namespace UffdManager.Cli;

/// <summary>What is wrong with a command line, in words that help to write a right one.</summary>
internal static class Mistakes
{
    /// <summary>One sentence each.</summary>
    public static IEnumerable<string> Of(ParseResult line)
    {
        // A word that is not known makes others miss; it is the cause.
        if (line.UnmatchedTokens.Count > 0)
            return line.UnmatchedTokens.Select(word => Unknown(word, line.CommandResult.Command));
        Command[] below = [.. line.CommandResult.Command.Subcommands.Where(command => !command.Hidden)];
        if (below.Length > 0)
            return [$"'{CommandLine.PathOf(line.CommandResult.Command)}' needs a command: {string.Join(", ", below.Select(command => command.Name))}"];
        return line.Errors.Select(error => Text.Clean(string.Join(' ', error.Message.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)))).Distinct();
    }

    private static string Unknown(string word, Command command)
    {
        bool isOption = word.StartsWith('-') && word.Length > 1;
        IEnumerable<string> candidates = isOption
            ? OptionsOf(command).SelectMany(option => option.Aliases.Prepend(option.Name))
            : command.Subcommands.Where(below => !below.Hidden).Select(below => below.Name);
        string kind = isOption ? "option" : command.Subcommands.Count > 0 ? "command" : "argument";
        string? near = candidates.Where(candidate => candidate.Length > 2).Select(candidate => (candidate, Distance: Distance(word, candidate)))
            .Where(pair => pair.Distance <= Math.Max(1, word.Length / 3)).OrderBy(pair => pair.Distance).Select(pair => pair.candidate).FirstOrDefault();
        string question = near is null ? "" : $"; did you mean {near}?";
        return $"'{CommandLine.PathOf(command)}' has no {kind} '{Text.Clean(word)}'{question}";
    }

    private static IEnumerable<Option> OptionsOf(Command command) =>
        command.Options.Concat(command.Parents.OfType<Command>().SelectMany(OptionsOf).Where(option => option.Recursive));

    // Levenshtein's, by rows.
    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int above = row[j];
                row[j] = a[i - 1] == b[j - 1] ? diagonal : 1 + Math.Min(diagonal, Math.Min(above, row[j - 1]));
                diagonal = above;
            }
        }

        return row[^1];
    }
}
