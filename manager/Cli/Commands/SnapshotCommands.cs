using System.CommandLine;
using UffdManager.Cli.Completion;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl snapshot</c>: serve, list, show, stop.</summary>
internal static class SnapshotCommands
{
    public static Command Create() => new("snapshot", "Snapshots: memory of microVMs, served at sockets.") { SnapshotServeCommand.Create(), List(), Show(), Stop() };

    /// <summary>A snapshot for people.</summary>
    internal static Facts Facts(SnapshotDto snapshot)
    {
        Facts facts = new();
        facts.Add("Snapshot", snapshot.Name);
        facts.Add("State", State(snapshot));
        facts.AddIf(snapshot.Problem is not null, "Problem", new Cell(snapshot.Problem ?? "", Style.Bad));
        facts.Add("From", snapshot.Origin == "configuration" ? "the configuration" : "uffdctl, until it is stopped");
        facts.Add("Image", snapshot.Image);
        facts.Add("Tenant", snapshot.Tenant);
        facts.Add("Policy", snapshot.Policy ?? "the tenant's default");
        facts.Add("Socket", snapshot.Socket);
        facts.Add("Protocol", snapshot.Protocol);
        facts.Add("Access", $"{snapshot.Mode}, owner {Owner(snapshot.Uid)}:{Owner(snapshot.Gid)}");
        facts.Add("For", For(snapshot.Match));
        facts.Add("Timeout", Units.Time(snapshot.TimeoutSeconds * 1e9));
        facts.Add("VMs", snapshot.MaxVms > 0 ? $"{snapshot.Sessions.Count} of at most {snapshot.MaxVms}" : $"{snapshot.Sessions.Count}");
        facts.AddIf(snapshot.Sessions.Count > 0, "Sessions", string.Join(", ", snapshot.Sessions));
        facts.AddIf(snapshot.Attaching > 0, "Coming", snapshot.Attaching);
        facts.Add("Taken over", $"{snapshot.HandedOver} since the daemon started");
        facts.AddIf(snapshot.Refused > 0, "Refused", new Cell($"{snapshot.Refused} since the daemon started", Style.Warning));
        return facts;
    }

    private static Command List() =>
        Lookup.List("List the snapshots that are served.", "snapshots", Documents.Types.SnapshotListDto, list => Table(list.Snapshots));

    private static Table Table(IEnumerable<SnapshotDto> snapshots)
    {
        Table table = new(
            new("NAME", Shrink: 8), new("STATE"), new("VMS", Right: true), new("REFUSED", 3, Right: true), new("TENANT", 1, Shrink: 8), new("IMAGE", 2, Shrink: 8),
            new("FOR", 4, Shrink: 8), new("FROM", 5), new("SOCKET", Shrink: 8));
        foreach (SnapshotDto snapshot in snapshots)
        {
            table.Add(
                snapshot.Name, State(snapshot), snapshot.MaxVms > 0 ? $"{snapshot.Sessions.Count}/{snapshot.MaxVms}" : $"{snapshot.Sessions.Count}", snapshot.Refused,
                snapshot.Tenant, snapshot.Image, For(snapshot.Match), snapshot.Origin, snapshot.Socket);
        }

        return table;
    }

    private static Command Show() => Lookup.Show(
        "Show everything about a snapshot.", Name(), "snapshots", Documents.Types.SnapshotDto, (context, snapshot) => context.Print(Facts(snapshot)));

    private static Command Stop()
    {
        Argument<string> name = Name();
        Command command = new("stop", "Stop serving a snapshot that was made by 'snapshot serve'; its VMs go on.") { name };
        command.SetWork(async (context, cancel) =>
        {
            Query query = new("snapshots", context.Line.GetRequiredValue(name));
            Answer<SnapshotDto> answer = await context.Client.SendAsync(HttpMethod.Delete, query.ToString(), null, Documents.Types.SnapshotDto, cancel);
            if (context.Json)
                context.PrintDocument(answer.Document);
            else
                context.Print($"Snapshot {Text.Clean(answer.Value.Name)} is not served any more; {answer.Value.Sessions.Count} VMs go on");
            return ExitCode.Ok;
        });
        return command;
    }

    private static Argument<string> Name() =>
        new Argument<string>("name") { Description = "Name of the snapshot.", HelpName = "NAME" }.Completed(ValueKind.Snapshot);

    private static Cell State(SnapshotDto snapshot) => new(snapshot.State, snapshot.State == "listening" ? Style.None : Style.Bad);

    private static string Owner(long? id) => id?.ToString() ?? "the daemon's";

    private static string For(SnapshotMatchDto match)
    {
        IEnumerable<string> all = (match.Uids ?? []).Select(uid => $"uid {uid}").Concat(match.Cgroups ?? []).Concat((match.Pids ?? []).Select(pid => $"pid {pid}"));
        return string.Join(", ", all) is { Length: > 0 } some ? some : "everybody";
    }
}
