using System.CommandLine;
using System.CommandLine.Help;

namespace UffdManager.Cli.Completion;

/// <summary>A command as completion scripts see it, taken from the command line itself, so that the two cannot disagree.</summary>
/// <param name="Path">The words that lead to it, the program's name first.</param>
/// <param name="Description">One sentence.</param>
/// <param name="Commands">The commands below it.</param>
/// <param name="Options">Options that it understands, those of its parents among them.</param>
/// <param name="Arguments">Its arguments in order.</param>
internal sealed record CompletionNode(
    string Path, string Description, IReadOnlyList<CompletionNode> Commands, IReadOnlyList<CompletionOption> Options,
    IReadOnlyList<CompletionArgument> Arguments)
{
    /// <summary>The last word of the path.</summary>
    public string Name => Path[(Path.LastIndexOf(' ') + 1)..];

    /// <summary>This one and all below.</summary>
    public IEnumerable<CompletionNode> All => Commands.SelectMany(command => command.All).Prepend(this);

    /// <summary>Reads the whole tree.</summary>
    public static CompletionNode Of(RootCommand root) => Of(root, "uffdctl", []);

    private static CompletionNode Of(Command command, string path, IReadOnlyList<Option> inherited)
    {
        Option[] options = [.. command.Options.Where(option => !option.Hidden), .. inherited];
        Option[] passedOn = [.. options.Where(option => option.Recursive)];
        return new CompletionNode(
            path,
            command.Description ?? "",
            [.. command.Subcommands.Where(below => !below.Hidden).Select(below => Of(below, $"{path} {below.Name}", passedOn))],
            [.. options.DistinctBy(option => option.Name).Select(Of)],
            [.. command.Arguments.Select(Of)]);
    }

    private static CompletionOption Of(Option option)
    {
        // Of the help option's many spellings, the ones that people on this system type.
        string[] names = [.. option.Aliases.Prepend(option.Name).Where(name => name.StartsWith('-') && name != "-?").Distinct().Order()];
        bool takesValue = option.Arity.MaximumNumberOfValues > 0 && option.ValueType != typeof(bool) && option is not (HelpOption or VersionOption);
        (ValueKind kind, string[] words) = takesValue ? ValueKinds.Of(option) : (ValueKind.Free, []);
        return new CompletionOption(names, option.Description ?? "", takesValue, kind, words, option.ValueType.IsArray);
    }

    private static CompletionArgument Of(Argument argument)
    {
        (ValueKind kind, string[] words) = ValueKinds.Of(argument);
        return new CompletionArgument(argument.HelpName ?? argument.Name, kind, words, argument.Arity.MaximumNumberOfValues > 1);
    }
}
