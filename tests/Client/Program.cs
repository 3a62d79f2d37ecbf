using System.Text.Json;

namespace UffdManager.TestClient;

/// <summary>
/// A program that uses the client library as it is told: a command a line on standard input, a <see cref="Reply"/> a line on standard output. It is a
/// process of its own because a managed thread that waits for a page stops the garbage collector of its process, and that must not be
/// the tests'. Each command has a thread of its own, so one may wait in a page fault while others go on.
/// </summary>
internal static class Program
{
    private static async Task<int> Main()
    {
        // Memory of the sessions is still served when this process ends; the manager sees the end by itself.
        var commands = new Commands();
        using var output = new StreamWriter(Console.OpenStandardOutput()) { AutoFlush = true };
        var gate = new Lock();
        while (await Console.In.ReadLineAsync() is { } line)
        {
            _ = Task.Factory.StartNew(
                async () =>
                {
                    Reply reply = await CarryOutAsync(commands, CommandLine.Parse(line));
                    lock (gate)
                        output.WriteLine(JsonSerializer.Serialize(reply));
                },
                CancellationToken.None,
                TaskCreationOptions.LongRunning,
                TaskScheduler.Default);
        }

        return 0;
    }

#pragma warning disable CA1031 // Whatever goes wrong is the test's to judge.
    private static async Task<Reply> CarryOutAsync(Commands commands, CommandLine line)
    {
        try
        {
            return new Reply(line.Id, await commands.RunAsync(line), null);
        }
        catch (Exception e)
        {
            return new Reply(line.Id, [], ReplyError.Of(e));
        }
    }
#pragma warning restore CA1031
}
