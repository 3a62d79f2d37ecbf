using System.CommandLine;
using System.Text.Json.Serialization.Metadata;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;

namespace UffdManager.Cli.Commands;

/// <summary>The commands <c>list</c> and <c>show</c> of what the control API has as one collection: with <c>--json</c> its document as it came, else for people.</summary>
internal static class Lookup
{
    /// <summary><c>list</c>: the whole collection.</summary>
    /// <param name="description">Of the command.</param>
    /// <param name="collection">Name of the collection in the API, after the version.</param>
    /// <param name="type">The document.</param>
    /// <param name="table">The same for people.</param>
    public static Command List<T>(string description, string collection, JsonTypeInfo<T> type, Func<T, Table> table)
        where T : class
    {
        Command command = new("list", description);
        command.SetWork((context, cancel) => AnswerAsync(context, new Query(collection), type, document => context.Print(table(document)), cancel));
        return command;
    }

    /// <summary><c>show</c>: one of the collection, by its name.</summary>
    /// <param name="description">Of the command.</param>
    /// <param name="name">The argument that names it.</param>
    /// <param name="collection">Name of the collection in the API, after the version.</param>
    /// <param name="type">The document.</param>
    /// <param name="print">The same for people.</param>
    public static Command Show<T>(string description, Argument<string> name, string collection, JsonTypeInfo<T> type, Action<CommandContext, T> print)
        where T : class
    {
        Command command = new("show", description) { name };
        command.SetWork((context, cancel) => AnswerAsync(
            context, new Query(collection, context.Line.GetRequiredValue(name)), type, document => print(context, document), cancel));
        return command;
    }

    private static async Task<int> AnswerAsync<T>(CommandContext context, Query query, JsonTypeInfo<T> type, Action<T> print, CancellationToken cancel)
        where T : class
    {
        Answer<T> answer = await context.Client.GetAsync(query.ToString(), type, cancel);
        if (context.Json)
            context.PrintDocument(answer.Document);
        else
            print(answer.Value);
        return ExitCode.Ok;
    }
}
