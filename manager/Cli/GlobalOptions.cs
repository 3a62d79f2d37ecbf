using System.CommandLine;
using UffdManager.Cli.Completion;

namespace UffdManager.Cli;

/// <summary>The options that every command has.</summary>
internal static class GlobalOptions
{
    public const string DefaultSocket = "/run/uffd-manager/control.sock";
    public const string SocketVariable = "UFFD_MANAGER_CONTROL";

    public static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(10);

    public static readonly Option<string?> Socket = new Option<string?>("--socket")
    {
        Description = $"Control socket of the manager. Default: ${SocketVariable}, else {DefaultSocket}.",
        HelpName = "PATH",
        Recursive = true,
    }.Completed(ValueKind.File);

    public static readonly Option<bool> Json = new("--json")
    {
        Description = "Print one JSON document, or one a line where the command goes on printing.",
        Recursive = true,
    };

    public static readonly Option<bool> NoColor = new("--no-color")
    {
        Description = "No colours, as if NO_COLOR were set.",
        Recursive = true,
    };

    public static readonly Option<TimeSpan?> RequestTimeout = new("--request-timeout")
    {
        Description = "How long an answer of the manager may take: 500ms, 10s, 2m. Default: 10s.",
        HelpName = "DURATION",
        Recursive = true,
        CustomParser = result => DurationArgument.Parse(result),
    };

    public static IReadOnlyList<Option> All { get; } = [Socket, Json, NoColor, RequestTimeout];
}
