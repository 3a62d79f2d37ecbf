using System.CommandLine;
using UffdManager.Cli.Completion;

namespace UffdManager.Cli.Commands;

/// <summary>Options and arguments that several commands have.</summary>
internal static class Options
{
    public static Option<string?> Tenant(string description) =>
        new Option<string?>("--tenant") { Description = description, HelpName = "NAME" }.Completed(ValueKind.Tenant);

    /// <summary>The argument that names a session.</summary>
    /// <param name="name">What it is called, as the help has it in capitals.</param>
    public static Argument<long> Session(string name = "id") => new Argument<long>(name)
    {
        Description = "Id of the session.",
        HelpName = name.ToUpperInvariant(),
        CustomParser = NumberArgument.Parser(0, long.MaxValue),
    }.Completed(ValueKind.Session);
}
