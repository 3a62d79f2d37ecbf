using System.Collections.Concurrent;
using UffdManager.Client;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.TestClient;

/// <summary>What the program can be told; things that last (sessions, regions, objects) are named by the first word.</summary>
internal sealed partial class Commands
{
    private readonly ConcurrentDictionary<string, object> _things = new(StringComparer.Ordinal);

    public Task<string[]> RunAsync(CommandLine line) => line.Command switch
    {
        "connect" => ConnectAsync(line),
        "churn" => ChurnAsync(line),
        "bye" => DoneAsync(Client(line).ByeAsync()),
        "dispose" => DisposeAsync(line),
        "lose" => Done(() => Client(line).LoseConnection()),
        "reconnected" => ReconnectedAsync(line),
        "refused" => RefusedAsync(line),
        "status" => StatusAsync(Client(line).StatusAsync()),
        "query" => StatusAsync(UffdManagerClient.QueryTenantAsync(line.Word(0))),
        "create" => CreateAsync(line),
        "map-file" => MapFileAsync(line),
        "map-object" => MapObjectAsync(line),
        "view" => ViewAsync(line),
        "register" => DoneAsync(Client(line).RegisterAsync(line.Number(1), line.Number(2), Registered(line))),
        "unregister" => DoneAsync(Client(line).UnregisterAsync(line.Number(1), line.Number(2))),
        "protect" => DoneAsync(Client(line).WriteProtectAsync(line.Number(1), line.Number(2), line.Word(3) == "on")),
        "prefetch" => PrefetchAsync(line),
        "populate" => Done(() => Region(line).Populate(line.Number(1), line.Number(2))),
        "advise" => Advise(line),
        "digest" => Digest(line),
        "peek" => Peek(line),
        "poke" => Done(() => Region(line).Slice(line.Number(1), 1)[0] = (byte)line.Number(2)),
        "collect" => Done(GC.Collect),
        _ => throw new ArgumentException($"no command {line.Command}", nameof(line)),
    };

    private static Task<string[]> Done(Action action)
    {
        action();
        return Task.FromResult<string[]>([]);
    }

    private static async Task<string[]> DoneAsync(Task task)
    {
        await task;
        return [];
    }

    private static async Task<string[]> StatusAsync(Task<StatusReplyMessage> asked)
    {
        StatusReplyMessage status = await asked;
        return [status.Tenant, status.State, $"{status.SessionId}", $"{status.Regions}", $"{status.RegisteredBytes}", $"{status.Faults}"];
    }

    // connect NAME SOCKET [policy=] [label=] [own=] [reconnect=no]: tenant, policy, session
    private async Task<string[]> ConnectAsync(CommandLine line)
    {
        var options = new ClientOptions
        {
            Policy = line.Option("policy"),
            Label = line.Has("label") ? line.Option("label") : "test-client",
            Userfaultfd = line.Has("own") ? Userfaultfd.Open() : null,
            Reconnect = line.Option("reconnect") != "no",
        };
        UffdManagerClient client = await UffdManagerClient.ConnectAsync(line.Word(1), options);
        _things[line.Word(0)] = new ClientEntry(client);
        return [client.Tenant, client.Policy, $"{client.SessionId}"];
    }

    // churn SOCKET COUNT: sessions that come and go, one after the other
    private static async Task<string[]> ChurnAsync(CommandLine line)
    {
        for (ulong i = 0; i < line.Number(1); i++)
        {
            await using UffdManagerClient client = await UffdManagerClient.ConnectAsync(line.Word(0));
        }

        return [];
    }

    private async Task<string[]> DisposeAsync(CommandLine line)
    {
        _things.TryRemove(line.Word(0), out object? thing);
        if (thing is IAsyncDisposable client)
            await client.DisposeAsync();
        else
            ((IDisposable)thing!).Dispose();
        return [];
    }

    // reconnected NAME: resumed, attempts, number of ranges that could not be registered again
    private async Task<string[]> ReconnectedAsync(CommandLine line)
    {
        ReconnectedEventArgs report = await ((ClientEntry)_things[line.Word(0)]).NextReportAsync();
        return [$"{report.Resumed}", $"{report.Attempts}", $"{report.Failed.Count}"];
    }

    // refused NAME: code and errno of the next refusal to go on with the session
    private async Task<string[]> RefusedAsync(CommandLine line)
    {
        ReconnectRefusedEventArgs refusal = await ((ClientEntry)_things[line.Word(0)]).NextRefusalAsync();
        return [$"{refusal.Reason.Code}", $"{refusal.Reason.Errno}"];
    }

    private UffdManagerClient Client(CommandLine line, int word = 0) => ((ClientEntry)_things[line.Word(word)]).Client;

    private ManagedRegion Region(CommandLine line) => (ManagedRegion)_things[line.Word(0)];
}
