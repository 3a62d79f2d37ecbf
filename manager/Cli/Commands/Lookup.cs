using System.CommandLine;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;

namespace UffdManager.Cli.Commands;

/// <summary>Commands that ask the control API one thing: with <c>--json</c> its document as it came, else something for people.</summary>
internal static class Lookup
{
    /// <summary><c>list</c>: the whole of one collection.</summary>
    /// <param name="description">Of the command.</param>
    /// <param name="collection">Name of the collection in the API, after the version.</param>
    /// <param name="type">The document.</param>
    /// <param name="table">The same for people.</param>
    public static Command List<T>(string description, string collection, JsonTypeInfo<T> type, Func<T, Table> table)
        where T : class => new Command("list", description).Gets(_ => new Query(collection), type, (context, document) => context.Print(table(document)));

    /// <summary><c>show</c>: one of the collection, by its name.</summary>
    /// <param name="description">Of the command.</param>
    /// <param name="name">The argument that names it.</param>
    /// <param name="collection">Name of the collection in the API, after the version.</param>
    /// <param name="type">The document.</param>
    /// <param name="print">The same for people.</param>
    public static Command Show<T>(string description, Argument<string> name, string collection, JsonTypeInfo<T> type, Action<CommandContext, T> print)
        where T : class => new Command("show", description) { name }.Gets(context => new Query(collection, context.Line.GetRequiredValue(name)), type, print);

    /// <summary>Gives a command one document to get.</summary>
    /// <param name="command">The command.</param>
    /// <param name="query">Where the document is.</param>
    /// <param name="type">The document.</param>
    /// <param name="print">The same for people.</param>
    /// <param name="remedy">What to do where there may be none, which is no failure but the answer; null where there always is one.</param>
    public static Command Gets<T>(
        this Command command, Func<CommandContext, Query> query, JsonTypeInfo<T> type, Action<CommandContext, T> print, Func<CommandContext, string>? remedy = null)
        where T : class
    {
        command.SetWork(async (context, cancel) =>
        {
            Task<Answer<T>> asking = context.Client.GetAsync(query(context).ToString(), type, cancel);
            Answer<T> answer = await (remedy is null ? asking : asking.OrNoneAsync(remedy(context)));
            if (context.Json)
                context.PrintDocument(answer.Document);
            else
                print(context, answer.Value);
            return ExitCode.Ok;
        });
        return command;
    }

    /// <summary>Where there may be none of what is asked for, a conflict is the answer no.</summary>
    /// <param name="asking">The request.</param>
    /// <param name="remedy">What to do about it, in words of the command line.</param>
    public static async Task<T> OrNoneAsync<T>(this Task<T> asking, string remedy)
    {
        await ((Task)asking).OrNoneAsync(remedy);
        return await asking;
    }

    /// <summary>The same of what is told to be done.</summary>
    /// <param name="asking">The request.</param>
    /// <param name="remedy">What to do about it, in words of the command line.</param>
    public static async Task OrNoneAsync(this Task asking, string remedy)
    {
        try
        {
            await asking;
        }
        catch (CommandException e) when (e.Problem == "conflict")
        {
            throw new CommandException(ExitCode.No, e.Message, remedy) { Problem = e.Problem };
        }
    }

    /// <summary>Gives a command a list to get that comes in pages.</summary>
    /// <param name="command">The command.</param>
    /// <param name="query">Where the list is.</param>
    /// <param name="list">Name of the array in a page.</param>
    /// <param name="type">Of a page.</param>
    /// <param name="next">Where the page after a page begins; null after the last.</param>
    /// <param name="table">All of them for people.</param>
    public static Command GetsPages<T>(
        this Command command, Func<CommandContext, Query> query, string list, JsonTypeInfo<T> type, Func<T, string?> next, Func<IReadOnlyList<T>, Table> table)
        where T : class
    {
        command.SetWork(async (context, cancel) =>
        {
            (IReadOnlyList<T> pages, ReadOnlyMemory<byte> document) = await Pages.ReadAsync(context.Client, query(context), list, type, next, cancel);
            if (context.Json)
                context.PrintDocument(document);
            else
                context.Print(table(pages));
            return ExitCode.Ok;
        });
        return command;
    }

    /// <summary>Gives a command something to delete that no document is answered for.</summary>
    /// <param name="command">The command.</param>
    /// <param name="query">What to delete.</param>
    /// <param name="document">What was done, for programs.</param>
    /// <param name="text">The same for people.</param>
    public static Command Deletes(this Command command, Func<CommandContext, Query> query, Func<CommandContext, JsonObject> document, Func<CommandContext, string> text)
    {
        command.SetWork(async (context, cancel) =>
        {
            await context.Client.SendAsync(HttpMethod.Delete, query(context).ToString(), cancel);
            if (context.Json)
                context.PrintDocument(document(context));
            else
                context.Print(text(context));
            return ExitCode.Ok;
        });
        return command;
    }
}
