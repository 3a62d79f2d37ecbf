using System.CommandLine;
using UffdManager.Cli.Completion;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl session</c>: list, show, kill, track, snapshot.</summary>
internal static class SessionCommands
{
    public static Command Create() => new("session", "Sessions: processes whose page faults are served.") { List(), Show(), SessionKillCommand.Create(), SessionTrackCommands.Create(), SessionSnapshotCommand.Create() };

    private static Command List()
    {
        Option<string?> tenant = Options.Tenant("Only sessions of this tenant.");
        Option<string?> state = new("--state") { Description = "Only sessions in this state: adopting, serving, condemned, ended.", HelpName = "STATE" };
        state.AcceptOnlyFromAmong("adopting", "serving", "condemned", "ended");
        Option<long?> pid = new("--pid")
        {
            Description = "Only sessions of this process.",
            HelpName = "PID",
            CustomParser = NumberArgument.OptionalParser(0, int.MaxValue),
        };
        return new Command("list", "List the sessions.") { tenant, state, pid }.GetsPages(
            context => new Query("sessions").With("tenant", context.Line.GetValue(tenant)).With("state", context.Line.GetValue(state))
                .With("pid", context.Line.GetValue(pid)?.ToString()),
            "sessions", Documents.Types.SessionListDto, page => page.Next?.ToString(), pages => Table(pages.SelectMany(page => page.Sessions)));
    }

    /// <summary>The table of sessions.</summary>
    internal static Table Table(IEnumerable<SessionDto> sessions)
    {
        Table table = new(
            new("ID", Right: true), new("PID", Right: true), new("COMMAND", Shrink: 8), new("TENANT", Shrink: 8), new("STATE"), new("POLICY", 4, Shrink: 6),
            new("REGIONS", 5, Right: true), new("REGISTERED", 2, Right: true), new("RESIDENT", Right: true), new("FAULTS", 1, Right: true),
            new("P50", 6, Right: true), new("P99", 3, Right: true), new("INFLIGHT", 7, Right: true), new("DEFERRED", 8, Right: true), new("AGE", 2, Right: true),
            new("LABEL", 9, Shrink: 6));
        foreach (SessionDto session in sessions)
        {
            table.Add(
                session.Id, session.Pid, session.Command, session.Tenant, Words.SessionState(session.State), session.Policy,
                session.Regions, Units.Bytes(session.RegisteredBytes), Units.Bytes(session.ResidentBytes), Units.Count(session.Faults),
                Words.Percentile(session.Latency?.P50Nanoseconds ?? 0), Words.Percentile(session.Latency?.P99Nanoseconds ?? 0),
                session.PagesInFlight, session.Deferred, Units.Age(session.UptimeSeconds * 1e9), session.Label);
        }

        return table;
    }

    private static Command Show()
    {
        Argument<long> id = Options.Session();
        return new Command("show", "Show everything about a session.") { id }.Gets(
            context => new Query("sessions", context.Line.GetValue(id).ToString()), Documents.Types.SessionDto, (context, session) => context.Print(Facts(session)));
    }

    private static Facts Facts(SessionDto session)
    {
        Facts facts = new();
        facts.Add("Session", session.Id);
        facts.Add("State", Words.SessionState(session.State));
        facts.Add("Process", session.Pid == 0 ? "a forked child that is not identified yet" : $"{session.Pid} ({session.Command ?? "name unknown"})");
        facts.AddIf(session.Label.Length > 0, "Label", session.Label);
        facts.Add("Tenant", session.Tenant);
        facts.Add("Policy", $"{session.Policy}, version {session.PolicyVersion}");
        facts.AddIf(session.Parent is not null, "Forked from", $"session {session.Parent}");
        facts.Add("Keeper", session.Keeper ? "yes: the client's side keeps a duplicate of the userfaultfd" : "no");
        facts.Add("Features", Words.List(session.Features));
        facts.Add("Fault loop", session.Loop);
        facts.Add("Started", $"{session.StartedAt}, {Units.Age(session.UptimeSeconds * 1e9)} ago");
        facts.Add("Tracked", session.TrackedSince is null ? "no" : $"changed pages are noted since {session.TrackedSince}");
        facts.AddIf(session.Work is not null, "Under way", new Cell(Text.Clean(session.Work ?? ""), Style.Warning));
        facts.Add("Regions", $"{session.Regions} with {Units.Bytes(session.RegisteredBytes)}");
        facts.Add("Resident", $"{Units.Bytes(session.ResidentBytes)}, {Units.Percent(session.ResidentBytes, session.RegisteredBytes)}");
        facts.Add("Faults", session.Faults);
        facts.Add("Latency", Words.Latency(session.Latency));
        facts.Add("Installed", $"{Units.Bytes(session.CopiedBytes)} copied, {Units.Bytes(session.ZeroedBytes)} zeros");
        facts.Add("Fetching", $"{session.PagesInFlight} pages");
        facts.Add("Deferred", $"{session.Deferred} faults now, {session.Deferrals} times in all");
        facts.AddIf(session.PoisonedPages > 0, "Poisoned", new Cell($"{session.PoisonedPages} pages", Style.Bad));
        return facts;
    }
}
