using System.CommandLine;
using UffdManager.Cli.Completion;

namespace UffdManager.Cli.Commands;

/// <summary>Options that several commands have.</summary>
internal static class Options
{
    public static Option<string?> Tenant(string description) =>
        new Option<string?>("--tenant") { Description = description, HelpName = "NAME" }.Completed(ValueKind.Tenant);
}
